"""Lossless encoding, and encoders that are chosen by what a trial shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from david_cli.errors import OutputError, UsageError
from david_cli.video.codecs import CODECS, merge_options
from david_cli.video.hardware import HARDWARE, HardwareEncoder
from david_cli.video.probe import is_exact, probe, probe_encoder
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, OutputPlan, plan_output
from tests.video.clips import Clip, make_clip, pass_through, read, same_planes

DEEP = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")
EXACT = [
    *(("h264", pix_fmt) for pix_fmt in DEEP),
    *(("hevc", pix_fmt) for pix_fmt in (*DEEP, "yuv422p12le", "gbrp10le")),
    ("av1", "yuv420p"),
    *(("vp9", pix_fmt) for pix_fmt in ("yuv420p", "yuv422p", "yuv444p")),
    *(("ffv1", pix_fmt) for pix_fmt in (*DEEP, "yuv444p16le")),
]
NOWHERE = HardwareEncoder("h264", {}, (), None)
"""Of a name that no FFmpeg knows."""
STAND_IN = HardwareEncoder("h264", {"crf": "21", "preset": "veryfast"}, ("crf",), "preset")
"""Settings that show by which way libx264 was chosen, where it is taken for hardware."""


def noise(folder: Path, pix_fmt: str = "yuv420p", size: tuple[int, int] = (64, 64)) -> Path:
    clip = Clip("ffv1", pix_fmt, *size, times=tuple(range(6)))
    return make_clip(folder / "in.mkv", clip)


def soft(folder: Path, pix_fmt: str) -> Path:
    """Waves that drift, as smooth as the codes allow."""
    path, (across, down) = folder / "soft.mkv", np.meshgrid(np.arange(64), np.arange(64))
    with av.open(str(path), "w") as output:
        video = output.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, pix_fmt
        for time in range(12):
            wave = np.sin((across + 1.9 * time) / 14) * np.cos((down + time) / 11)
            grey = np.rint(32768 + 16000 * wave).astype(np.uint16)
            frame = av.VideoFrame.from_ndarray(grey, format="gray16le").reformat(
                format=pix_fmt, threads=1
            )
            frame.pts = time
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def plan_of(source: Path, target: Path, **wishes: object) -> OutputPlan:
    with VideoReader(source) as reader:
        return plan_output(reader, target, EncodeOptions(**wishes))  # type: ignore[arg-type]


# --- lossless ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "pix_fmt"), EXACT)
def test_lossless_gives_every_code_back(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    """Noise at the size of a whole coding unit, where x265 of 64x64 ones errs."""
    source = noise(tmp_path, pix_fmt)
    options = EncodeOptions(codec=codec, lossless=True)
    plan, _ = pass_through(source, tmp_path / "out.mkv", options)
    assert (plan.codec, plan.pix_fmt) == (codec, pix_fmt)
    assert same_planes(read(source).frames, read(plan.target).frames)


@pytest.mark.parametrize(
    ("pix_fmt", "size", "suffix", "codec"),
    [
        ("yuv420p", (64, 48), ".mp4", "hevc"),
        ("yuv420p", (33, 35), ".mp4", "hevc"),  # odd: in 4:4:4, which holds the same
        ("yuv420p", (64, 48), ".webm", "vp9"),
        ("yuv420p10le", (64, 48), ".mkv", "hevc"),
        ("yuv444p16le", (64, 48), ".mkv", "ffv1"),
        ("yuv420p", (16, 16), ".mkv", "ffv1"),
    ],
)
def test_lossless_chooses_a_codec_that_can(
    pix_fmt: str, size: tuple[int, int], suffix: str, codec: str, tmp_path: Path
) -> None:
    source = noise(tmp_path, pix_fmt, size)
    plan, _ = pass_through(source, tmp_path / f"out{suffix}", EncodeOptions(lossless=True))
    assert (plan.codec, plan.target.suffix) == (codec, suffix)
    before, after = read(source).frames, read(plan.target).frames
    for old, new in zip(before, after, strict=True):
        assert (old.planes[0] == new.planes[0]).all()
    if size[0] % 2 == 0:
        assert same_planes(before, after)


@pytest.mark.parametrize("width", [48, 64])
def test_x265_is_told_of_narrow_pictures(width: int, tmp_path: Path) -> None:
    """What it does to them without shows in a memory checker only."""
    plan = plan_of(noise(tmp_path, size=(width, 64)), tmp_path / "out.mkv", codec="hevc")
    assert ("cutree=0" in plan.options["x265-params"].split(":")) == (width < 64)


@pytest.mark.parametrize(("codec", "pix_fmt"), EXACT)
def test_lossless_keeps_soft_pictures(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    """Where prediction leaves next to nothing, an encoder may take it for nothing."""
    source = soft(tmp_path, pix_fmt)
    plan, _ = pass_through(source, tmp_path / "out.mkv", EncodeOptions(codec=codec, lossless=True))
    assert same_planes(read(source).frames, read(plan.target).frames)


def test_lossless_av1_of_10_bits_is_exact_or_refused(tmp_path: Path) -> None:
    """SVT-AV1 4.1 gives noise back, and errs by a code or two in soft pictures."""
    source, target = soft(tmp_path, "yuv420p10le"), tmp_path / "out.mkv"
    try:
        pass_through(source, target, EncodeOptions(codec="av1", lossless=True))
    except OutputError as err:
        assert "av1 cannot encode 64x64 yuv420p10le without loss; use --codec ffv1" in str(err)
        assert not target.exists()
    else:
        assert same_planes(read(source).frames, read(target).frames)


def test_an_option_that_the_trial_cannot_take_is_no_crash(tmp_path: Path) -> None:
    """The trial's pictures are smaller than these."""
    source = noise(tmp_path, size=(256, 192))
    plan = plan_of(source, tmp_path / "out.mkv", codec="ffv1", lossless=True)
    with VideoReader(source) as reader:
        sliced = replace(plan.encoding, options={**plan.options, "slices": "1000"})
        assert not is_exact(sliced, reader.info)


def test_what_is_called_lossless_is_looked_at(tmp_path: Path) -> None:
    """An option that undoes it is noticed before the work begins."""
    source = noise(tmp_path)
    lossy = {"x265-params": "lossless=0:crf=30"}
    with pytest.raises(OutputError, match="hevc cannot encode 64x64 yuv420p without loss"):
        plan_of(source, tmp_path / "out.mkv", codec="hevc", lossless=True, options=lossy)
    plan = plan_of(source, tmp_path / "out.mkv", codec="h264")
    with VideoReader(source) as reader:
        assert probe(plan.encoding, reader.info).works
        assert not is_exact(plan.encoding, reader.info)
        exact = replace(plan.encoding, options={"qp": "0"})
        assert is_exact(exact, reader.info)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"codec": "prores"}, "prores always loses.*h264, hevc, av1, vp9 or ffv1"),
        ({"codec": "dnxhr"}, "dnxhr always loses"),
        ({"crf": 20.0}, "--lossless and --crf contradict"),
        ({"match_source": True}, "--lossless and --match-source contradict"),
        ({"options": {"qp": "3"}}, "--lossless and --encoder-option qp contradict"),
        ({"encoder": "hardware"}, "leave out --encoder hardware"),
        ({"encoder": "hevc_nvenc"}, "leave out --encoder hevc_nvenc"),
    ],
)
def test_what_lossless_cannot_be_with(wishes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        EncodeOptions(lossless=True, **wishes)  # type: ignore[arg-type]


# --- encoders ------------------------------------------------------------------------------------


@pytest.fixture
def no_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where none works, whatever this one has."""
    for name in list(HARDWARE):
        monkeypatch.delitem(HARDWARE, name)
    monkeypatch.setitem(HARDWARE, "h264_nowhere", NOWHERE)


@pytest.fixture
def some_hardware(monkeypatch: pytest.MonkeyPatch, no_hardware: None) -> None:
    """A machine where the second in the list works."""
    monkeypatch.setitem(HARDWARE, "libx264", STAND_IN)


@pytest.mark.parametrize("name", [n for choice in CODECS.values() for n in choice.encoders])
def test_software_encoders_pass_the_probe(name: str) -> None:
    found = probe_encoder(name, width=256, height=144)
    assert found.works and not found.reason, found


@pytest.mark.parametrize("name", HARDWARE)
def test_hardware_works_or_says_why_not(name: str) -> None:
    found = probe_encoder(name)
    assert found.works != bool(found.reason)
    assert not any(word in found.reason for word in ("Unknown error", "not permitted"))


def test_a_probe_tries_what_it_is_asked_to() -> None:
    assert probe_encoder("libx264", pix_fmt="yuv422p10le").profile == "High 4:2:2"
    assert not probe_encoder("libx264", width=641, pix_fmt="yuv420p").works
    assert "Invalid argument" in probe_encoder("libx264", options={"profile": "none"}).reason
    assert "mov" not in probe_encoder("ffv1", options={"slices": "1000"}).reason
    assert probe_encoder("libsvtav1", width=16, height=16).reason.startswith("takes no picture")


@pytest.mark.parametrize("encoder", ["auto", "hardware"])
def test_hardware_is_chosen_where_it_works(
    encoder: str, some_hardware: None, tmp_path: Path
) -> None:
    plan = plan_of(noise(tmp_path), tmp_path / "out.mp4", encoder=encoder, crf=30)
    assert plan.encoder == "libx264"
    assert plan.options == {**STAND_IN.options, "crf": "30"}
    assert not any("software" in note for note in plan.notes)


def test_software_is_the_default(some_hardware: None, tmp_path: Path) -> None:
    plan = plan_of(noise(tmp_path, "yuv420p10le"), tmp_path / "out.mp4")
    assert (plan.encoder, plan.notes) == ("libx265", ())


def test_auto_falls_back_and_says_why(no_hardware: None, tmp_path: Path) -> None:
    plan = plan_of(noise(tmp_path), tmp_path / "out.mp4", encoder="auto")
    assert plan.encoder == "libx264"
    (note,) = plan.notes
    assert note == (
        "no hardware encoder for h264 works here: encoded in software; 'david doctor' says why"
    )


def test_hardware_that_is_demanded_and_does_not_work_is_an_error(
    no_hardware: None, tmp_path: Path
) -> None:
    source = noise(tmp_path)
    with pytest.raises(OutputError, match=r"h264_nowhere: not in this build.*Leave out --encoder"):
        plan_of(source, tmp_path / "out.mp4", encoder="hardware")
    with pytest.raises(OutputError, match=r"no hardware encoder for vp9.*none that david knows"):
        plan_of(source, tmp_path / "out.mp4", encoder="hardware", codec="vp9")


@pytest.mark.parametrize("name", HARDWARE)
def test_a_bit_rate_replaces_all_that_says_a_quality(name: str) -> None:
    """VideoToolbox takes no rate while it is told to go by quality."""
    encoder = HARDWARE[name]
    merged = merge_options(encoder.options, {"b": "4000000"})
    assert merged["b"] == "4000000"
    assert not merged.keys() & {"cq", "rc", "qp_i", "qp_p", "global_quality", "flags"}
    asked = dict.fromkeys(encoder.quality or ("global_quality",), "30")
    assert encoder.options.get("flags") == merge_options(encoder.options, asked).get("flags")


def test_an_option_that_hardware_lacks_is_a_reason(some_hardware: None, tmp_path: Path) -> None:
    """Not an error, as long as the software has it."""
    source, params = noise(tmp_path, "yuv420p"), {"x265-params": "aq-mode=1"}
    wishes = {"encoder": "auto", "codec": "hevc", "options": params}
    assert plan_of(source, tmp_path / "out.mp4", **wishes).encoder == "libx265"
    with pytest.raises(OutputError, match="libx264 has no option 'x265-params'"):
        plan_of(source, tmp_path / "out.mp4", encoder="hardware", options=params)


@pytest.mark.parametrize("name", ["libx265", "libvpx-vp9", "ffv1"])
def test_an_encoder_by_name(name: str, tmp_path: Path) -> None:
    assert plan_of(noise(tmp_path), tmp_path / "out.mkv", encoder=name).encoder == name


def test_a_format_that_was_asked_for_is_not_called_a_need(tmp_path: Path) -> None:
    source = noise(tmp_path)
    (note,) = plan_of(source, tmp_path / "out.mkv", pix_fmt="yuv444p").notes
    assert note == "yuv444p is used, as asked, which holds the same pixels exactly"
    assert plan_of(source, tmp_path / "out.mkv", pix_fmt="yuv420p").notes == ()


def test_encoders_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="unknown encoder 'h264_nvec'; try h264_nvenc"):
        EncodeOptions(encoder="h264_nvec")
    with pytest.raises(UsageError, match="hevc_nvenc does not write h264"):
        EncodeOptions(encoder="hevc_nvenc", codec="h264")
    assert EncodeOptions(encoder="hevc_nvenc").named_codec == "hevc"
