"""Strength 0 through containers and codecs: what goes in comes out, or is listed as lost."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import OutputContainer

from david_cli.errors import InputError, OutputError
from david_cli.video.frame import ColorSpec, Frame, PixelFormat
from david_cli.video.reader import VideoReader
from david_cli.video.sample import take_sample
from david_cli.video.streams import EncodeOptions, plan_output
from david_cli.video.writer import VideoWriter
from tests.video.clips import (
    BT601_FULL,
    BT709,
    PQ,
    Clip,
    Content,
    make_clip,
    pass_through,
    read,
    same_planes,
)

MILLISECOND = Fraction(1, 1000)
UNEVEN = (0, 3003, 6006, 9009, 30000, 31000, 32000, 60000, 61500, 63000)  # of 1/90000 s
ADTS_HEADER = 7  # bytes before each AAC frame in a transport stream

SOURCES = {
    ".mp4": Clip(audio="aac", aspect=Fraction(16, 11), metadata={"title": "T"}, chapters=2),
    ".mov": Clip(audio="aac", rotation=90, metadata={"title": "T"}, chapters=2),
    ".mkv": Clip(audio="aac", metadata={"title": "T", "com.android.version": "9"}, chapters=2),
    ".webm": Clip("libvpx-vp9", audio="libopus", metadata={"title": "T"}),
    ".ts": Clip("mpeg2video", audio="aac"),
    ".avi": Clip("mpeg4", audio="libmp3lame"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One clip of each container."""
    folder = tmp_path_factory.mktemp("sources")
    return {suffix: make_clip(folder / f"in{suffix}", clip) for suffix, clip in SOURCES.items()}


@pytest.mark.parametrize("target", SOURCES)
@pytest.mark.parametrize("source", SOURCES)
def test_every_pair_of_containers(
    source: str, target: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    plan, writer = pass_through(sources[source], tmp_path / f"out{target}")
    before, after = read(sources[source]), read(plan.target)

    # An AVI cannot tell when an H.264 picture is shown; it is the only one to become another file.
    assert plan.target.suffix == (".mkv" if target == ".avi" else target)
    assert plan.codec == ("vp9" if target == ".webm" else "h264")
    assert writer.frames_written == len(before.frames) == len(after.frames)
    assert not writer.warnings
    assert meaning(after.color) == meaning(before.color)
    assert_same_times(before, after, exact=target in (".mp4", ".mov", ".ts"))
    assert_audio_kept_or_listed(before, after, plan.losses)
    assert_kept_or_listed(before, after, plan.losses)


def meaning(color: ColorSpec) -> tuple[int, ...]:
    """Limited range and none given mean the same."""
    return color.matrix, color.primaries, color.transfer, color.range == 2


def assert_same_times(before: Content, after: Content, *, exact: bool) -> None:
    """Differences of time; the whole may move where a container cannot start before zero."""
    shift = after.times[0] - before.times[0]
    errors = [abs(b - a - shift) for a, b in zip(before.times, after.times, strict=True)]
    assert max(errors) <= (0 if exact else MILLISECOND)
    assert 0 <= shift <= Fraction(1, 20)  # an AAC encoder's delay, or a B-frame's


def assert_audio_kept_or_listed(before: Content, after: Content, losses: tuple[str, ...]) -> None:
    if any("audio" in line for line in losses):
        assert not any(kind == "audio" for kind, _ in after.kinds.values())
        return
    sent, back = before.stream("audio"), after.stream("audio")
    assert [bare(p) for p in sent] == [bare(p) for p in back]
    offset_before = before.start("audio") - before.times[0]
    offset_after = after.start("audio") - after.times[0]
    assert abs(offset_before - offset_after) <= MILLISECOND


def bare(packet: bytes) -> bytes:
    """A packet without the ADTS header that transport streams need."""
    is_adts = len(packet) > ADTS_HEADER and packet[0] == 0xFF and packet[1] & 0xF6 == 0xF0
    return packet[ADTS_HEADER:] if is_adts else packet


def assert_kept_or_listed(before: Content, after: Content, losses: tuple[str, ...]) -> None:
    listed = " ".join(losses)
    same_aspect = (after.aspect or 1) == (before.aspect or 1)
    assert same_aspect != ("aspect" in listed)
    assert (before.rotation == after.rotation) != ("rotation" in listed)
    title = "title" not in before.metadata or after.metadata.get("title") == "T"
    assert title or "title" in listed
    if "chapters" not in listed:
        assert [c["metadata"] for c in after.chapters] == [c["metadata"] for c in before.chapters]
        for a, b in zip(after.chapters, before.chapters, strict=True):
            assert abs(a["start"] - b["start"]) <= MILLISECOND


LOSSLESS = {
    "601": Clip("ffv1", color=ColorSpec(6, 1, 6, 6)),
    "709": Clip("ffv1", color=BT709),
    "untagged": Clip("ffv1", color=ColorSpec(range=1)),
    "full": Clip("ffv1", color=BT601_FULL),
    "full untagged": Clip("ffv1", color=ColorSpec(range=2)),
    "grey": Clip("ffv1", "gray", color=ColorSpec(range=1)),
    "10 bit": Clip("ffv1", "yuv420p10le", color=PQ),
    "12 bit 4:2:2": Clip("ffv1", "yuv422p12le"),
    "16 bit grey": Clip("ffv1", "gray16le", color=ColorSpec(range=1)),
    "4:1:1": Clip("ffv1", "yuv411p"),
    "odd": Clip("ffv1", width=33, height=17),
    "one pixel": Clip("ffv1", width=1, height=1),
    "alpha": Clip("ffv1", "yuva420p"),
    "rgb": Clip("ffv1", "bgr0", color=ColorSpec(0)),
    "rgba": Clip("ffv1", "bgra", color=ColorSpec(0)),
    "rgb 16": Clip("ffv1", "gbrp16le", color=ColorSpec(0)),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_ffv1_keeps_every_code(name: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", LOSSLESS[name])
    plan, _ = pass_through(source, tmp_path / "out.mkv", EncodeOptions(codec="ffv1"))
    before, after = read(source), read(plan.target)
    assert after.frames[0].format == before.frames[0].format
    assert after.color == before.color
    assert same_planes(before.frames, after.frames)


def test_full_range_moves_to_a_container_that_can_say_so(tmp_path: Path) -> None:
    """FFV1 in MP4 loses an otherwise untagged full range: the picture would look wrong."""
    clip = Clip(color=ColorSpec(range=2))
    source = make_clip(tmp_path / "in.mp4", clip)
    plan, _ = pass_through(source, tmp_path / "out.mp4", EncodeOptions(codec="ffv1"))
    assert plan.target.suffix == ".mkv" and not plan.losses
    assert read(plan.target).color.range == 2


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize(
    "clip", [Clip("ffv1", width=33, height=17), Clip("ffv1", "yuv411p"), Clip("ffv1", "yuv440p")]
)
def test_other_pixel_format_holds_the_same_picture(clip: Clip, codec: str, tmp_path: Path) -> None:
    """Odd 4:2:0 and the like become 4:4:4; lossless coding shows that nothing moved."""
    source = make_clip(tmp_path / "in.mkv", clip)
    lossless = {"qp": "0"} if codec == "h264" else {"x265-params": "lossless=1:ctu=16"}
    options = EncodeOptions(codec=codec, options=lossless)
    plan, _ = pass_through(source, tmp_path / "out.mkv", options)
    before, after = read(source), read(plan.target)
    assert plan.pix_fmt != clip.pix_fmt
    assert same_planes([back(frame, a.format) for frame, a in pairs(after, before)], before.frames)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hevc_of_a_frame_or_two(count: int, tmp_path: Path) -> None:
    """x265 leaves their decoding times unset, and MP4 refuses what happens to be there."""
    source = make_clip(tmp_path / "in.mp4", Clip(times=range(count)))
    for attempt in range(6):
        target = tmp_path / f"{attempt}.mp4"
        pass_through(source, target, EncodeOptions(codec="hevc"))
        assert [f.pts for f in read(target).frames] == [f.pts for f in read(source).frames]


def test_grey_keeps_its_codes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip("ffv1", "gray", color=ColorSpec(range=1)))
    plan, _ = pass_through(source, tmp_path / "out.mkv", EncodeOptions(options={"qp": "0"}))
    before, after = read(source), read(plan.target)
    assert plan.pix_fmt == "yuv420p"
    assert same_planes([back(frame, a.format) for frame, a in pairs(after, before)], before.frames)


def pairs(a: Content, b: Content) -> list[tuple[Frame, Frame]]:
    return list(zip(a.frames, b.frames, strict=True))


def back(frame: Frame, format: PixelFormat) -> Frame:
    """Undo repeated chroma by taking every n-th sample; grey's must be neutral."""
    if format.model == "gray":
        assert all(np.all(plane == 128) for plane in frame.planes[1:])
        return replace(frame, planes=frame.planes[:1])
    across, down = (1 << log2 for log2 in format.log2_chroma)
    chroma = tuple(plane[::down, ::across] for plane in frame.planes[1:])
    return replace(frame, planes=(frame.planes[0], *chroma))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_variable_rate_keeps_times_and_durations(suffix: str, tmp_path: Path) -> None:
    clip = Clip(times=UNEVEN, time_base=Fraction(1, 90000), options={"bf": "0"})
    source = make_clip(tmp_path / "in.mp4", clip)
    plan, _ = pass_through(source, tmp_path / f"out{suffix}")
    before, after = read(source), read(plan.target)
    assert before.times == [time * clip.time_base for time in UNEVEN]
    tolerance = MILLISECOND if suffix == ".mkv" else 0
    for a, b in zip(before.times, after.times, strict=True):
        assert abs(a - b) <= tolerance
    for a, b in zip(before.durations[:-1], after.durations[:-1], strict=True):
        assert abs(a - b) <= 2 * tolerance


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_start_time_is_exact(suffix: str, tmp_path: Path) -> None:
    """MP4 writes the start of a track in another clock, by default one of milliseconds."""
    times = tuple(1001 * (n + 2) for n in range(8))
    clip = Clip(times=times, time_base=Fraction(1, 30000), audio="aac")
    source = make_clip(tmp_path / "in.mp4", clip)
    plan, _ = pass_through(source, tmp_path / f"out{suffix}")
    before, after = read(source), read(plan.target)
    assert after.times == before.times
    assert abs(after.start("audio") - before.start("audio")) < Fraction(1, 10000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_part_begins_at_zero_with_its_sound(suffix: str, tmp_path: Path) -> None:
    clip = Clip(times=tuple(range(50)), audio="aac", chapters=20)
    source = make_clip(tmp_path / f"in{suffix}", clip)
    start, end = Fraction(1, 2), Fraction(3, 2)
    plan, _ = pass_through(source, tmp_path / f"out{suffix}", start=start, end=end)
    before, after = read(source), read(plan.target)
    wanted = [t for t in before.times if start <= t - before.times[0] < end]
    origin = after.times[0]  # above 0 only where sound that began before may not be negative
    assert 0 <= origin <= Fraction(1, 20)
    assert len(after.frames) == len(wanted)
    for a, b in zip(wanted, after.times, strict=True):
        assert abs((a - wanted[0]) - (b - origin)) <= MILLISECOND
    assert set(after.stream("audio")) < set(before.stream("audio"))
    first = before.stream("audio").index(after.stream("audio")[0])
    (track,) = before.packet_times.values()
    assert abs((track[first] - wanted[0]) - (after.start("audio") - origin)) <= MILLISECOND
    assert [c["metadata"]["title"] for c in after.chapters][:2] == ["part 5", "part 6"]
    assert abs(after.chapters[0]["start"]) <= MILLISECOND and len(after.chapters) == 10


@pytest.mark.parametrize("rotation, mirrored", [(90, False), (180, False), (0, True), (-90, True)])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_display_matrix(rotation: int, mirrored: bool, suffix: str, tmp_path: Path) -> None:
    clip = Clip(rotation=rotation, mirrored=mirrored)
    source = make_clip(tmp_path / "in.mp4", clip)
    plan, _ = pass_through(source, tmp_path / f"out{suffix}")
    assert not plan.losses
    with VideoReader(source) as a, VideoReader(plan.target) as b:
        assert take_sample(a).matrix == take_sample(b).matrix is not None


def add_fonts(output: OutputContainer) -> None:
    output.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font" * 9)


def test_attachments_survive_in_matroska_and_are_listed_elsewhere(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(prepare=add_fonts))
    kept, _ = pass_through(source, tmp_path / "out.mkv")
    with av.open(str(kept.target)) as back:
        (font,) = (s for s in back.streams if s.type == "attachment")
        assert font.data == b"not really a font" * 9 and font.name == "font.ttf"
    lost, _ = pass_through(source, tmp_path / "out.mp4")
    (line,) = lost.losses
    assert line.startswith("attachment stream 1") and line.endswith("MP4 cannot hold it; MKV can")


def test_cover_art_goes_to_matroska_and_back(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "robust" / "attpic__h264-png.mp4"
    to_mkv, _ = pass_through(source, tmp_path / "out.mkv")
    back, _ = pass_through(to_mkv.target, tmp_path / "back.mp4")
    assert not to_mkv.losses and not back.losses
    pictures = {path: read(path).stream("picture") for path in (source, to_mkv.target, back.target)}
    assert len({tuple(packets) for packets in pictures.values()}) == 1
    assert read(back.target).stream("audio") == read(source).stream("audio")


MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_hdr10_metadata(codec: str, tmp_path: Path) -> None:
    params = f"log-level=none:hdr10=1:master-display={MASTERING}:max-cll=1000,400"
    clip = Clip(
        "libx265", "yuv420p10le", 64, 64, color=PQ, options={"x265-params": params, "crf": "30"}
    )
    source = make_clip(tmp_path / "in.mp4", clip)
    plan, _ = pass_through(source, tmp_path / "out.mp4", EncodeOptions(codec=codec))
    assert any("HDR" in note for note in plan.notes)
    with VideoReader(plan.target) as reader:
        hdr = take_sample(reader).hdr
        assert reader.info.color.transfer == PQ.transfer
    assert hdr.light == "1000,400"
    assert numbers(hdr.mastering) == pytest.approx(numbers(MASTERING), rel=1e-3, abs=2)


def numbers(text: str) -> list[int]:
    return [int(n) for n in "".join(c if c.isdigit() else " " for c in text).split()]


def test_interlacing_is_coded_and_tagged(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "robust" / "gen__mpeg2_interlaced_576i.mpg"
    plan, _ = pass_through(source, tmp_path / "out.mkv")
    with VideoReader(source) as before, VideoReader(plan.target) as after:
        assert after.info.interlaced
        orders = [r.video_stream.codec_context.field_order for r in (before, after)]
    assert orders == [3, 3]  # bottom field first


def test_cut_off_source_gives_what_there_is(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "robust" / "corrupt__corrupted.mp4"
    plan, writer = pass_through(source, tmp_path / "out.mp4")
    assert writer.frames_written == len(read(plan.target).frames) == 28


ROBUST = [
    "gen__h264_vfr_gap_10s.mp4",
    "gen__h264_start_offset_1h.ts",
    "edts__edts.mp4",
    "gps__with-gps.mov",
    "subs-ass__sample_with_ass_subtitles.mkv",
    "fragmented__sample_partially_fragmented.mp4",
    "mirror__sample_rotate_and_reflect.mp4",
    "gen__anim.gif",
    "gen__vp8.webm",
]


@pytest.mark.parametrize("name", ROBUST)
def test_real_files(name: str, shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "robust" / name
    plan, _ = pass_through(source, tmp_path / f"out{source.suffix}", fast())
    assert_faithful(source, plan.target, plan.copied)


@pytest.mark.slow
def test_every_real_file(shared_data: Path, tmp_path: Path) -> None:
    for source in sorted((shared_data / "robust").iterdir()):
        target = tmp_path / f"out{source.suffix}"
        try:
            plan, _ = pass_through(source, target, fast())
        except InputError as err:
            assert source.name in str(err) and "\n" not in str(err)
        else:
            assert_faithful(source, plan.target, plan.copied)
        for left in tmp_path.iterdir():
            assert ".part" not in left.name
            left.unlink()


def fast() -> EncodeOptions:
    return EncodeOptions(crf=40)


def assert_faithful(source: Path, target: Path, copied: tuple[int, ...]) -> None:
    before, after = read(source), read(target)
    assert len(after.frames) == len(before.frames)
    if has_times(source):
        shift = after.times[0] - before.times[0]
        for a, b in zip(before.times, after.times, strict=True):
            assert abs(b - a - shift) <= MILLISECOND
    sent = sorted(tuple(before.packets.get(i, [])) for i in copied)
    back = sorted(tuple(p) for p in after.packets.values())
    assert [p for p in sent if p] == [p for p in back if p]


def has_times(path: Path) -> bool:
    """Raw H.264 has none: whatever its frames get is made up."""
    with av.open(str(path), metadata_errors="replace") as container:
        return next(container.decode(video=0)).pts is not None


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[VideoReader]:
    source = make_clip(tmp_path / "in.mp4", Clip(width=320, height=240, audio="aac"))
    with VideoReader(source) as reader:
        yield reader


def start_writing(reader: VideoReader, target: Path, frames: int = 3) -> VideoWriter:
    writer = VideoWriter(plan_output(reader, target, EncodeOptions(crf=0)), reader)
    for item in reader.items():
        if isinstance(item, Frame) and writer.frames_written == frames:
            break
        writer.write(item) if isinstance(item, Frame) else writer.mux(item)
    return writer


def test_final_name_appears_only_at_the_end(opened: VideoReader, tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.mp4"
    target.parent.mkdir()
    writer = start_writing(opened, target)
    (part,) = target.parent.iterdir()
    assert part.name.startswith(".out.") and part.name.endswith(".part.mp4")
    writer.finish()
    assert list(target.parent.iterdir()) == [target]
    assert len(read(target).frames) == 3


def test_abort_leaves_nothing_and_may_be_repeated(opened: VideoReader, tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.mp4"
    target.parent.mkdir()
    writer = start_writing(opened, target)
    writer.abort()
    writer.abort()
    assert list(target.parent.iterdir()) == []


def test_an_old_file_survives_a_failed_run(opened: VideoReader, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    start_writing(opened, target).abort()
    assert target.read_bytes() == b"old"


def test_no_frame_is_an_error(opened: VideoReader, tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.mp4"
    target.parent.mkdir()
    with pytest.raises(OutputError, match="no frame"):
        start_writing(opened, target, frames=0).finish()
    assert list(target.parent.iterdir()) == []


def test_full_disk_is_one_line_and_leaves_nothing(opened: VideoReader, tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.mp4"
    target.parent.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError) as caught:
            start_writing(opened, target, frames=10).finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(target) in str(caught.value) and "\n" not in str(caught.value)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    "name, words", [("missing/out.mp4", "no such folder"), ("", "is a folder")]
)
def test_bad_target(name: str, words: str, opened: VideoReader, tmp_path: Path) -> None:
    target = tmp_path / name if name else tmp_path / "folder.mp4"
    if not name:
        target.mkdir()
    plan = plan_output(opened, target, EncodeOptions())
    with pytest.raises(OutputError, match=words):
        VideoWriter(plan, opened)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_folder_that_may_not_be_written(opened: VideoReader, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    plan = plan_output(opened, folder / "out.mp4", EncodeOptions())
    with pytest.raises(OutputError, match="cannot be written to"):
        VideoWriter(plan, opened)


def test_packets_whose_time_runs_back_are_left_out_and_counted(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(audio="aac"))
    with VideoReader(source) as reader:
        writer = VideoWriter(plan_output(reader, tmp_path / "out.mp4", EncodeOptions()), reader)
        packets = 0
        for item in reader.items():
            if isinstance(item, Frame):
                writer.write(item)
                continue
            packets += 1
            if packets == 5:
                item.pts = item.dts = 0
            writer.mux(item)
        writer.finish()
    assert writer.warnings == ["stream 1: 1 packets left out: their times do not increase"]
    assert len(read(tmp_path / "out.mp4").stream("audio")) == packets - 1


@pytest.mark.slow
def test_kill_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(width=320, height=240, times=tuple(range(200))))
    script = textwrap.dedent(f"""
        from pathlib import Path
        from tests.video.clips import pass_through
        pass_through(Path({str(source)!r}), Path({str(tmp_path / "out.mp4")!r}))
    """)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script])
        while process.poll() is None and not list(tmp_path.glob(".out.*.part.mp4")):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "out.mp4").exists()


def test_times_never_repeat_in_a_container_of_fixed_rate(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.avi", Clip("mpeg4"))
    plan, writer = pass_through(source, tmp_path / "out.avi", EncodeOptions(codec="ffv1"))
    assert plan.target.suffix == ".avi" and not writer.warnings
    before, after = read(source), read(plan.target)
    assert same_planes(before.frames, after.frames)
    assert before.times == after.times and all(a < b for a, b in pairwise(after.times))


def test_a_forsaken_file_has_no_name_any_more(tmp_path: Path) -> None:
    """Stopped for the second time, while a thread may still be writing."""
    source = make_clip(tmp_path / "in.mkv", Clip())
    with VideoReader(source) as reader:
        writer = VideoWriter(plan_output(reader, tmp_path / "out.mp4", EncodeOptions()), reader)
        for item in reader.items():
            if isinstance(item, Frame):
                writer.write(item)
        assert len(list(tmp_path.iterdir())) == 2
        writer.forsake()
        assert list(tmp_path.iterdir()) == [source]
        writer.abort()
