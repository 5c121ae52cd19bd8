"""Interlaced video: seen, made progressive frame for frame, or kept with its fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import Flags
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from david_cli.cli.app import run
from david_cli.errors import UsageError
from david_cli.inference.pipeline import deblur_video
from david_cli.video import deinterlace
from david_cli.video.deinterlace import Deinterlacer, deinterlace_mode
from david_cli.video.frame import ColorSpec, Fields, Frame, PixelFormat
from david_cli.video.reader import VideoReader, read_info
from david_cli.video.repack import pack
from david_cli.video.streams import EncodeOptions
from tests.footage import known_deblurrer
from tests.video.clips import read, same_planes

TIMES = (0, 1, 2, 5, 6, 9, 10)
FFV1 = EncodeOptions(codec="ffv1")
WIDTH, HEIGHT = 48, 32


def moment(time: float, format: PixelFormat) -> tuple[np.ndarray, ...]:
    """A pattern of waves that moves 5 pixels to the right in a unit of time."""
    planes = []
    for rows, columns in format.plane_shapes(WIDTH, HEIGHT):
        y, x = np.mgrid[0:rows, 0:columns].astype(float)
        x *= WIDTH / columns
        wave = np.sin((x - 5 * time) * 0.45) + np.sin(y * HEIGHT / rows * 0.11)
        top = (1 << format.bits) - 1
        planes.append(np.rint((0.5 + 0.2 * wave) * top).astype(format.dtype))
    return tuple(planes)


def woven(count: int, fields: Sequence[Fields | None], pix_fmt: str = "yuv420p") -> list[Frame]:
    """Frames of two fields half a unit of time apart; progressive ones where ``fields`` is None."""
    format = PixelFormat.parse(pix_fmt)
    frames = []
    for number in range(count):
        order = fields[number % len(fields)]
        planes = moment(number, format)
        if order is not None:
            first = 0 if order == "tff" else 1
            for plane, later in zip(planes, moment(number + 0.5, format), strict=True):
                plane[1 - first :: 2] = later[1 - first :: 2]
        time = TIMES[number]
        frames.append(Frame(planes, format, ColorSpec(1, 1, 1, 1), time, 1, Fraction(1, 25), order))
    return frames


def write(path: Path, frames: Sequence[Frame], codec: str = "ffv1") -> Path:
    """Encode frames with their fields as flags; FFmpeg's setfield is what sets them."""
    format = frames[0].format.name
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25, options={"level": "3"} if codec == "ffv1" else {})
        context = video.codec_context
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, format
        video.time_base = context.time_base = frames[0].time_base
        context.flags |= Flags.interlaced_dct | Flags.frame_duration
        for frame in frames:
            picture = pack(frame.planes, format, WIDTH, HEIGHT)
            picture.pts, picture.time_base = frame.pts, frame.time_base
            picture.duration = frame.duration
            marked = through(f"setfield={frame.fields or 'prog'}", [picture], format)[0]
            output.mux(video.encode(marked))
        output.mux(video.encode(None))
    return path


def through(setting: str, pictures: Sequence[VideoFrame], pix_fmt: str) -> list[VideoFrame]:
    """What a filter of FFmpeg's gives for whole pictures."""
    graph, found = Graph(), []
    source = graph.add_buffer(
        width=WIDTH, height=HEIGHT, format=VideoFormat(pix_fmt), time_base=Fraction(1, 25)
    )
    name, _, arguments = setting.partition("=")
    graph.link_nodes(source, graph.add(name, arguments), graph.add("buffersink")).configure()
    for picture in [*pictures, None]:
        graph.vpush(picture)
        try:
            while True:
                found.append(graph.vpull())
        except (av.error.BlockingIOError, av.error.EOFError):
            pass
    return found


def progressive(frames: Sequence[Frame], mode: deinterlace.Deinterlace = "auto") -> list[Frame]:
    stage = Deinterlacer(mode)
    found = [item for item in stage.items(iter(frames)) if isinstance(item, Frame)]
    return found


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv411p", "yuv422p10le", "gray10le", "gbrap12le"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_first_field_stays_and_the_other_is_made_for_its_moment(
    count: int, pix_fmt: str, order: Fields
) -> None:
    """On every frame, the first, the last and a lonely one included, in formats bwdif lacks too."""
    frames = woven(count, [order], pix_fmt)
    after = progressive(frames)
    assert [f.pts for f in after] == [f.pts for f in frames]
    first = 0 if order == "tff" else 1
    for number, (was, now) in enumerate(zip(frames, after, strict=True)):
        assert now.fields is None and now.format == was.format
        truth = moment(number, now.format)
        for before, plane in zip(was.planes, now.planes, strict=True):
            assert plane.dtype == before.dtype and plane.shape == before.shape
            assert np.array_equal(plane[first::2], before[first::2])
        # most of the comb is gone: in luma, where its lines are close enough to interpolate
        luma = slice(2, -2)
        combed = error(was.planes[0][luma], truth[0][luma])
        assert error(now.planes[0][luma], truth[0][luma]) < 0.35 * combed


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
def test_same_as_the_filter_over_whole_pictures(pix_fmt: str) -> None:
    frames = woven(6, ["bff"], pix_fmt)
    pictures = [pack(f.planes, pix_fmt, WIDTH, HEIGHT) for f in frames]
    for number, picture in enumerate(pictures):
        picture.pts, picture.time_base = number, Fraction(1, 25)
    expected = through("bwdif=mode=send_frame:parity=bff:deint=all", pictures, pix_fmt)
    assert len(expected) == 6
    for picture, frame in zip(expected, progressive(frames), strict=True):
        planes = deinterlace.read_planes(picture)
        assert all(map(np.array_equal, planes, frame.planes))


def test_codes_stay_within_the_format() -> None:
    """Interpolation overshoots at hard edges; grey of 16 bits would let it."""
    format = PixelFormat.parse("gray10le")
    rng = np.random.default_rng(3)
    frames = [
        Frame(
            ((rng.integers(0, 2, (HEIGHT, WIDTH)) * 1023).astype(np.uint16),),
            format, ColorSpec(), n, 1, Fraction(1, 25), "tff",
        )
        for n in range(4)
    ]  # fmt: skip
    assert max(int(f.planes[0].max()) for f in progressive(frames)) == 1023


def test_progressive_frames_pass_and_start_no_delay() -> None:
    frames = woven(7, [None, None, "tff", None, "bff", "bff", None])
    stage = Deinterlacer("auto")
    source = iter(frames)
    flow = stage.items(source)
    assert next(flow) is frames[0] and next(source) is frames[1]  # nothing was read ahead
    after = progressive(frames)
    assert [f.pts for f in after] == list(TIMES)
    for was, now in zip(frames, after, strict=True):
        assert (now is was) == (was.fields is None)
        assert now.fields is None


def test_the_frame_before_the_first_interlaced_one_is_its_past() -> None:
    """Without it the filter would know no past there, and use less than it has."""
    frames = woven(5, [None, None, "tff", "tff", "tff"])
    late = progressive(frames)[2]
    alone = progressive(frames[2:])[0]
    whole = progressive([Frame(**{**vars(f), "fields": "tff"}) for f in frames])[2]
    assert same_planes([late], [whole]) and not same_planes([late], [alone])


def test_forced_on_frames_that_do_not_say() -> None:
    frames = [Frame(**{**vars(f), "fields": None}) for f in woven(5, ["tff"])]
    assert same_planes(progressive(frames, "bwdif"), progressive(woven(5, ["tff"])))
    assert progressive(frames) == frames


@pytest.fixture(scope="module", params=["tff", "bff"])
def interlaced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interlaced")
    return write(folder / f"{request.param}.mkv", woven(7, [request.param]))


def test_field_order_is_what_frames_say(interlaced: Path) -> None:
    info = read_info(interlaced)
    assert info.interlaced and info.fields == interlaced.stem
    assert {frame.fields for frame in read(interlaced).frames} == {interlaced.stem}


def test_auto_gives_a_progressive_file_at_the_same_times(interlaced: Path, tmp_path: Path) -> None:
    report = deblur_video(
        interlaced, tmp_path / "out.mkv", known_deblurrer(), strength=1e-9, encode=FFV1
    )
    before, after = read(interlaced), read(report.target)
    assert report.frames == 7 and after.times == before.times
    assert same_planes(after.frames, progressive(before.frames))
    info = read_info(report.target)
    assert not info.interlaced and {f.fields for f in after.frames} == {None}
    with VideoReader(report.target) as reader:
        assert reader.video_stream.codec_context.field_order in (0, 1)
    (line,) = [w for w in report.warnings if "interlacing" in w]
    assert "removed by bwdif" in line and "field first" in line


@pytest.mark.parametrize("codec", ["ffv1", "h264", "prores"])
def test_off_keeps_the_fields(codec: str, interlaced: Path, tmp_path: Path) -> None:
    report = deblur_video(
        interlaced, tmp_path / "out.mov", known_deblurrer(), strength=1e-9,
        deinterlace="off", encode=EncodeOptions(codec=codec),
    )  # fmt: skip
    info = read_info(report.target)
    assert info.fields == interlaced.stem and not report.plan.losses
    assert any("kept, the frames are processed as stored" in line for line in report.warnings)
    if codec == "ffv1":
        assert same_planes(read(report.target).frames, read(interlaced).frames)


def test_off_lists_fields_that_a_codec_cannot_say(interlaced: Path, tmp_path: Path) -> None:
    with VideoReader(interlaced) as reader:
        plan = deinterlace_plan(reader, tmp_path / "out.mkv", "hevc")
    assert any(line.startswith("interlacing: hevc") for line in plan.losses)


def deinterlace_plan(reader: VideoReader, target: Path, codec: str):  # type: ignore[no-untyped-def]
    from david_cli.video.streams import plan_output

    return plan_output(reader, target, EncodeOptions(codec=codec))


def test_strength_0_is_the_source_unless_told_otherwise(interlaced: Path, tmp_path: Path) -> None:
    assert deinterlace_mode("auto", 0) == "off" and deinterlace_mode("bwdif", 0) == "bwdif"
    report = deblur_video(
        interlaced, tmp_path / "out.mkv", known_deblurrer(), strength=0, encode=FFV1
    )
    after = read(report.target)
    assert same_planes(after.frames, read(interlaced).frames)
    assert {frame.fields for frame in after.frames} == {interlaced.stem}


def test_mixed_video_is_treated_frame_by_frame(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", woven(7, [None, None, None, "tff"]))
    with VideoReader(source, deinterlace="auto") as reader:
        frames = [item for item in reader.items() if isinstance(item, Frame)]
        assert not reader.info.interlaced and not reader.notes
        (line,) = [w for w in reader.warnings if "interlacing" in w]
    assert len(frames) == 7 and all(frame.fields is None for frame in frames)
    assert "1 frames are not like the first; each was treated as it says" in line


def test_without_the_filter(
    interlaced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deinterlace, "filters_available", set())
    with VideoReader(interlaced, deinterlace="auto") as reader:
        assert not reader.deinterlaces and "no bwdif filter" in reader.notes[0]
    with pytest.raises(UsageError, match="no bwdif filter"):
        VideoReader(interlaced, deinterlace="bwdif")


def test_packets_pass_in_their_places() -> None:
    """Only frames wait; what is between them does not."""
    frames = woven(3, ["tff"])
    packet = av.packet.Packet(b"sound")
    flow = [frames[0], packet, frames[1], packet, frames[2]]
    found = list(Deinterlacer("auto").items(iter(flow)))
    assert [type(item).__name__ for item in found].count("Packet") == 2 and len(found) == 5


def test_info_shows_it(interlaced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(interlaced), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["source"]["interlaced"] and said["source"]["fields"] == interlaced.stem
    assert any("removed by bwdif" in note for note in said["output"]["notes"])
