"""The plan: which container, codec and pixel format, what is kept, what is listed as lost."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.container import OutputContainer

from david_cli.errors import OutputError, UsageError
from david_cli.video.frame import ColorSpec
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, OutputPlan, plan_output
from tests.video.clips import PQ, Clip, make_clip, pass_through, read

PLAIN = EncodeOptions()


def plan_of(source: Path, target: Path | None = None, **wishes: object) -> OutputPlan:
    with VideoReader(source) as reader:
        return plan_output(reader, target, EncodeOptions(**wishes))  # type: ignore[arg-type]


CHOICES = [
    (Clip("ffv1"), "h264", "yuv420p"),
    (Clip("ffv1", "yuv422p"), "h264", "yuv422p"),
    (Clip("ffv1", "yuv444p", width=33, height=17), "h264", "yuv444p"),
    (Clip("ffv1", width=33, height=17), "h264", "yuv444p"),
    (Clip("ffv1", width=1, height=1), "h264", "yuv444p"),
    (Clip("ffv1", "yuv411p"), "h264", "yuv444p"),
    (Clip("ffv1", "gray", color=ColorSpec()), "h264", "yuv420p"),
    (Clip("ffv1", "gray", width=33, height=17, color=ColorSpec()), "h264", "yuv444p"),
    (Clip("ffv1", "bgr0", color=ColorSpec(0)), "h264", "bgr0"),
    (Clip("ffv1", "yuv420p10le"), "hevc", "yuv420p10le"),
    (Clip("ffv1", "yuv420p10le", color=PQ), "hevc", "yuv420p10le"),
    (Clip("ffv1", color=PQ), "hevc", "yuv420p"),
    (Clip("ffv1", "yuv420p9le"), "hevc", "yuv420p10le"),
    (Clip("ffv1", "yuv420p10le", width=33, height=33), "hevc", "yuv444p10le"),
    (Clip("ffv1", "yuv420p10le", width=9, height=9), "ffv1", "yuv420p10le"),
    (Clip("ffv1", "yuv420p10le", width=1, height=1), "ffv1", "yuv420p10le"),
    (Clip("ffv1", "yuv444p16le"), "ffv1", "yuv444p16le"),
    (Clip("ffv1", "bgra", color=ColorSpec(0)), "ffv1", "bgra"),
]


@pytest.mark.parametrize("clip, codec, pix_fmt", CHOICES)
def test_codec_and_format_of_its_own_accord(
    clip: Clip, codec: str, pix_fmt: str, tmp_path: Path
) -> None:
    """8 bits: h264; more or HDR: hevc; never cropped or scaled: 4:4:4, then AV1, then FFV1."""
    plan = plan_of(make_clip(tmp_path / "in.mkv", clip))
    assert (plan.codec, plan.pix_fmt) == (codec, pix_fmt)
    same = clip.pix_fmt == pix_fmt and codec == ("hevc" if "1" in pix_fmt[4:] else codec)
    changed = [note for note in plan.notes if "cannot encode" in note]
    assert bool(changed) == (not same or codec in ("av1", "ffv1"))


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "prores", "dnxhr", "ffv1"])
def test_every_codec_by_name(codec: str, tmp_path: Path) -> None:
    clip = Clip("ffv1", width=256, height=128)
    source = make_clip(tmp_path / "in.mkv", clip)
    plan, _ = pass_through(source, tmp_path / "out.mov", EncodeOptions(codec=codec))
    after = read(plan.target)
    assert plan.codec == codec and len(after.frames) == len(clip.times)
    with av.open(str(plan.target)) as back:
        name = back.streams.video[0].codec_context.codec.canonical_name
    assert name == {"dnxhr": "dnxhd"}.get(codec, codec)


@pytest.mark.parametrize(
    "clip, codec, able",
    [
        (Clip("ffv1", "yuv444p12le"), "h264", "hevc"),
        (Clip("ffv1", "bgra", color=ColorSpec(0)), "h264", "ffv1"),
        (Clip("ffv1", "yuv444p"), "av1", "h264"),
        (Clip("ffv1", width=1, height=1), "hevc", "h264"),
    ],
)
def test_a_named_codec_that_cannot(clip: Clip, codec: str, able: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", clip)
    with pytest.raises(OutputError, match=f"{codec} cannot encode .*; use --codec {able}"):
        plan_of(source, codec=codec)


@pytest.fixture(scope="module")
def clip_mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", Clip(audio="aac"))


@pytest.mark.parametrize(
    "wishes, words",
    [
        ({"pix_fmt": "yuv420q"}, "--pix-fmt: unknown pixel format 'yuv420q'; try .*yuv420p"),
        ({"pix_fmt": ""}, "--pix-fmt: nothing is given"),
        ({"preset": "warp"}, "--encoder-preset warp: libx264 takes ultrafast, .* or placebo"),
        ({"preset": ""}, "--encoder-preset: nothing is given"),
        ({"codec": "av1", "preset": "warp"}, "libsvtav1 refuses --encoder-preset warp; see"),
        ({"codec": ""}, "--codec: nothing is given; give a value"),
        ({"encoder": ""}, "--encoder: nothing is given; give a value"),
        ({"crf": float("nan")}, "--crf nan: give a number from 0 on"),
        ({"crf": float("inf")}, "--crf inf: give"),
        ({"crf": -5}, "--crf -5: give"),
        ({"crf": 52}, "--crf 52: libx264 takes 0, the best, to 51"),
        ({"codec": "vp9", "crf": 64}, "--crf 64: libvpx-vp9 takes 0, the best, to 63"),
        ({"codec": "ffv1", "crf": 18}, "ffv1 has no --crf"),
        ({"codec": "prores", "preset": "slow"}, "prores has no --encoder-preset"),
        ({"options": {"x264-param": "a=b"}}, "no option 'x264-param'; try .*x264-params"),
        ({"options": {"bf": "many"}}, "libx264 refuses --encoder-option bf=many; see"),
        ({"options": {"b": "nan"}}, "libx264 refuses --encoder-option b=nan; see"),
        ({"options": {"maxrate": "-5"}}, "libx264 refuses --encoder-option maxrate=-5; see"),
        ({"options": {"b": ""}}, "libx264 refuses --encoder-option b=; see"),
    ],
)
def test_wishes_that_cannot_be(
    wishes: dict[str, object], words: str, clip_mp4: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        plan_of(clip_mp4, tmp_path / "out.mp4", **wishes)


@pytest.mark.parametrize(("codec", "worst"), [("h264", 51), ("hevc", 51), ("av1", 63), ("vp9", 63)])
def test_the_whole_range_of_a_quality_works(
    codec: str, worst: int, clip_mp4: Path, tmp_path: Path
) -> None:
    for crf in (0, worst):
        assert plan_of(clip_mp4, tmp_path / "out.mkv", codec=codec, crf=crf).codec == codec


def test_a_format_that_the_codec_does_not_take(clip_mp4: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="libx264 cannot encode yuv411p; it takes yuv420p"):
        plan_of(clip_mp4, tmp_path / "out.mp4", pix_fmt="yuv411p")


def test_unknown_codec_names_the_known(clip_mp4: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown codec 'x264'.*h264, hevc, av1"):
        plan_of(clip_mp4, codec="x264")


def test_wishes_reach_the_encoder(clip_mp4: Path, tmp_path: Path) -> None:
    plan = plan_of(clip_mp4, tmp_path / "out.mp4", crf=30, preset="fast", options={"g": "5"})
    assert plan.options == {"crf": "30", "preset": "fast", "g": "5"}


def test_another_quality_control_takes_the_default_away(clip_mp4: Path, tmp_path: Path) -> None:
    plan = plan_of(clip_mp4, tmp_path / "out.mp4", options={"qp": "0"})
    assert "crf" not in plan.options and plan.options["qp"] == "0"


def test_wishes_for_one_codec_do_not_stop_another(tmp_path: Path) -> None:
    """A folder of clips with --preset fast: the one with alpha becomes FFV1, which has none."""
    source = make_clip(tmp_path / "in.mkv", Clip("ffv1", "bgra", color=ColorSpec(0)))
    plan = plan_of(source, preset="fast", crf=20)
    assert plan.codec == "ffv1" and "with its own defaults" in plan.notes[0]


@pytest.mark.parametrize(
    "clip, wanted, model",
    [
        (Clip("ffv1", "yuv444p10le"), "yuv420p", "yuv"),
        (Clip("ffv1", "bgr0", width=64, height=64, color=ColorSpec(0)), "yuv420p", "yuv"),
        (Clip("ffv1", "bgra", color=ColorSpec(0)), "yuv444p", "yuv"),
        (Clip("ffv1"), "yuv420p10", "yuv"),
    ],
)
def test_pixel_format_as_asked(clip: Clip, wanted: str, model: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", clip)
    options = EncodeOptions(codec="h264", pix_fmt=wanted)
    plan, _ = pass_through(source, tmp_path / "out.mkv", options)
    after = read(plan.target)
    assert after.frames[0].format.name.removesuffix("le") == wanted
    assert after.frames[0].format.model == model
    assert after.color.matrix == (clip.color.matrix or 6)  # RGB of this size becomes BT.601


def test_rgb_to_yuv_as_asked_is_the_right_colour(tmp_path: Path) -> None:
    """Pure green in BT.601, limited range: Y 145, Cb 54, Cr 34."""
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as output:
        video = output.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "bgr0"
        frame = av.VideoFrame(32, 32, "bgr0")
        frame.planes[0].update(bytes([0, 255, 0, 0]) * (frame.planes[0].buffer_size // 4))
        output.mux([*video.encode(frame), *video.encode(None)])
    options = EncodeOptions(codec="ffv1", pix_fmt="yuv444p")
    plan, _ = pass_through(path, tmp_path / "out.mkv", options)
    planes = read(plan.target).frames[0].planes
    assert [int(plane[16, 16]) for plane in planes] == pytest.approx([145, 54, 34], abs=1)


@pytest.mark.parametrize(
    "name, becomes",
    [
        ("clip.mp4", "clip.sharp.mp4"),
        ("clip.MOV", "clip.sharp.MOV"),
        ("clip.m4v", "clip.sharp.m4v"),
        ("take.1.mp4", "take.1.sharp.mp4"),
        ("clip", "clip.sharp.mkv"),
        ("clip.avi", "clip.sharp.mp4"),  # an MP4 under a wrong name
    ],
)
def test_name_beside_the_source(name: str, becomes: str, clip_mp4: Path, tmp_path: Path) -> None:
    source = tmp_path / name
    shutil.copy(clip_mp4, source)
    plan = plan_of(source)
    assert plan.target == tmp_path / becomes
    assert plan.container == ("matroska" if becomes.endswith("mkv") else plan.container)


@pytest.mark.parametrize(
    "name, becomes",
    [
        ("out.gif", "out.mkv"),
        ("out.png", "out.mkv"),
        ("out.webp", "out.mkv"),
        ("out.264", "out.mkv"),
        ("out.wav", "out.mkv"),
        ("out.xyz", "out.mkv"),
        ("out", "out.mkv"),
        ("take.1", "take.1.mkv"),
        ("out.mpg", "out.mkv"),
        ("out.wmv", "out.mkv"),
    ],
)
def test_names_of_containers_that_cannot(
    name: str, becomes: str, clip_mp4: Path, tmp_path: Path
) -> None:
    plan = plan_of(clip_mp4, tmp_path / name)
    assert plan.target == tmp_path / becomes and plan.container == "matroska"
    assert any(becomes in note for note in plan.notes)


def test_webm_gets_its_own_codec_unless_another_was_named(clip_mp4: Path, tmp_path: Path) -> None:
    own = plan_of(clip_mp4, tmp_path / "out.webm")
    assert (own.target.suffix, own.codec) == (".webm", "vp9")
    assert any("cannot hold h264" in note for note in own.notes)
    named = plan_of(clip_mp4, tmp_path / "out.webm", codec="h264")
    assert (named.target.suffix, named.codec) == (".mkv", "h264")


def test_the_source_itself_is_no_target(clip_mp4: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is the source itself"):
        plan_of(clip_mp4, clip_mp4)
    link = tmp_path / "link.mp4"
    link.symlink_to(clip_mp4)
    with pytest.raises(OutputError, match="is the source itself"):
        plan_of(clip_mp4, link)
    mkv = make_clip(tmp_path / "in.mkv", Clip())
    with pytest.raises(OutputError, match="is the source itself"):
        plan_of(mkv, tmp_path / "in.gif")  # would become in.mkv


def add_subtitles(output: OutputContainer) -> None:
    output.add_mux_stream("subrip").metadata["language"] = "deu"


def test_what_cannot_be_held_is_listed_and_where_it_could_be(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(audio="aac", prepare=add_subtitles))
    kept = plan_of(source, tmp_path / "out.mkv")
    assert kept.losses == () and len(kept.copied) == 2
    lost = plan_of(source, tmp_path / "out.mp4")
    (line,) = lost.losses
    assert line == "subtitle stream 2 (subrip, deu): MP4 cannot hold it; MKV can"
    assert lost.copied == (1,) and lost.kept == ("audio stream 1 (aac)",)


def test_metadata_chapters_and_shape_are_listed_where_lost(tmp_path: Path) -> None:
    clip = Clip(metadata={"title": "T"}, chapters=2, rotation=90, aspect=Fraction(4, 3))
    source = make_clip(tmp_path / "in.mp4", clip)
    lines = " | ".join(plan_of(source, tmp_path / "out.ts").losses)
    for word in ("chapters", "title", "rotation"):
        assert word in lines
    assert "aspect" not in lines  # H.264 carries it
    assert "aspect" in " ".join(plan_of(source, tmp_path / "out.webm").losses)


PHONE = {
    "com.apple.quicktime.make": "Apple",
    "com.android.version": "9",
    "location": "+48.1+011.5/",
    "title": "T",
    "creation_time": "2020-01-02T03:04:05.000000Z",
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_metadata_of_phones(suffix: str, tmp_path: Path) -> None:
    """MP4 and MOV keep keys they do not know only when told to."""
    source = make_clip(tmp_path / "in.mkv", Clip(metadata=PHONE))
    plan, _ = pass_through(source, tmp_path / f"out{suffix}")
    assert not plan.losses
    found = {key.lower(): text for key, text in read(plan.target).metadata.items()}
    location = found.pop("location")
    assert location.startswith("+48.1") and "+011.5" in location
    assert all(found[key] == text for key, text in PHONE.items() if key != "location")


def test_b_frames_go_only_where_they_would_harm(tmp_path: Path) -> None:
    even = make_clip(tmp_path / "even.mp4", Clip())
    uneven = make_clip(tmp_path / "uneven.mp4", replace(Clip(), times=(0, 1, 2, 5, 6, 9)))
    assert "bf" not in plan_of(even, tmp_path / "out.mp4").options
    assert "bf" not in plan_of(uneven, tmp_path / "out.mkv").options
    assert plan_of(uneven, tmp_path / "out.mp4").options["bf"] == "0"  # wrong durations
    assert plan_of(even, tmp_path / "out.ts").options["bf"] == "0"  # the picture would come late


def test_hevc_in_mp4_is_tagged_so_that_apple_plays_it(clip_mp4: Path, tmp_path: Path) -> None:
    plan, _ = pass_through(clip_mp4, tmp_path / "out.mp4", EncodeOptions(codec="hevc"))
    with av.open(str(plan.target)) as back:
        assert back.streams.video[0].codec_context.codec_tag == "hvc1"
