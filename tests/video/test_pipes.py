"""What passes once: kept until it is processed, never sought, and let go of when nobody waits."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from david_cli.errors import InputError, UsageError
from david_cli.video.frame import ChromaLocation, Frame
from david_cli.video.pipes import Pipe, RawFormat, StandardOutput
from david_cli.video.reader import VideoReader
from david_cli.video.sample import take_sample
from david_cli.video.y4m import Y4mHeader
from tests.footage import Look, noise, same, write_video
from tests.video.clips import Clip, make_clip


@contextmanager
def fed(data: bytes, raw: RawFormat | None = None) -> Iterator[Pipe]:
    """A pipe into which a thread writes some bytes, as a program would."""
    ours, theirs = os.pipe()

    def feed() -> None:
        with open(theirs, "wb", buffering=0) as end:
            rest = memoryview(data)
            while rest:
                try:
                    rest = rest[end.write(rest[:5000]) :]
                except BrokenPipeError:
                    return

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield Pipe(ours, raw)
    finally:
        os.close(ours)
        thread.join()


@given(st.binary(max_size=3000), st.lists(st.integers(1, 700), min_size=1, max_size=9))
def test_whoever_opens_a_pipe_reads_it_from_the_beginning(data: bytes, sizes: list[int]) -> None:
    with fed(data) as pipe:
        position = 0
        for size in sizes:  # somebody looks at the beginning
            position += len(pipe.read(position, size))
        pipe.release()
        found = b""
        while piece := pipe.read(len(found), 500):
            found += piece
    assert found == data
    assert pipe.received == len(data)
    assert pipe.head(10) == b"", "the beginning is no longer kept"


def test_nothing_is_kept_of_what_follows() -> None:
    with fed(bytes(400_000)) as pipe:
        position = len(pipe.read(0, 100))
        pipe.release()
        while piece := pipe.read(position, 65536):
            position += len(piece)
            assert len(pipe.head(1 << 20)) <= 100


def test_a_thread_that_waits_can_be_released() -> None:
    ours, theirs = os.pipe()
    pipe, got = Pipe(ours), []
    thread = threading.Thread(target=lambda: got.append(pipe.read(0, 10)))
    thread.start()
    time.sleep(0.05)
    assert got == []
    pipe.interrupt()
    thread.join(10)
    assert got == [b""]
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("suffix", ["mkv", "nut", "ts"])
@pytest.mark.parametrize("start", [None, Fraction(3, 5)])
def test_a_pipe_gives_what_the_file_gives(
    suffix: str, start: Fraction | None, tmp_path: Path
) -> None:
    clip = Clip(times=tuple(range(30)), audio="aac", options={"g": "10"})
    path = make_clip(tmp_path / f"in.{suffix}", clip)
    with VideoReader(path, start=start) as reader:
        sample, expected = take_sample(reader), _read(reader)
    with fed(path.read_bytes()) as pipe, VideoReader(pipe, start=start) as reader:
        assert reader.path == Path("-")
        assert take_sample(reader).packets == sample.packets
        found = _read(reader)
    assert found == expected


def _read(reader: VideoReader) -> list[tuple[object, ...]]:
    """Frames and packets, comparable, each kind in its order."""
    found: list[tuple[object, ...]] = []
    for item in reader.items():
        if isinstance(item, Frame):
            found.append(("", item.pts, *(plane.tobytes() for plane in item.planes)))
        else:
            found.append((item.stream.type, item.pts, bytes(item)))
    return sorted(found, key=lambda item: str(item[0]))


def test_raw_video_is_read_as_declared() -> None:
    frames = noise(Look("yuv422p10le"), 4, 30, 20)
    data = b"".join(plane.tobytes() for frame in frames for plane in frame)
    raw = RawFormat.parse("30x20:yuv422p10le:24000/1001")
    with fed(data, raw) as pipe, VideoReader(pipe) as reader:
        found = [item for item in reader.items() if isinstance(item, Frame)]
    assert same([frame.planes for frame in found], frames)
    times = [frame.pts * frame.time_base for frame in found]
    assert times == [i * Fraction(1001, 24000) for i in range(4)]
    assert reader.stopped is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30x20",
        "30x20:yuv420p",
        "30:yuv420p:25",
        "30x20:yuv420p:0",
        "0x20:yuv420p:25",
        "-30x20:yuv420p:25",
        "30x20:yuv420p:25/0",
        "30x20:yuv999p:25",
        "30x20:grayf32le:25",
    ],
)
def test_what_declares_no_raw_video(text: str) -> None:
    with pytest.raises(UsageError, match="raw input"):
        RawFormat.parse(text)


@pytest.mark.parametrize(("data", "word"), [(b"", "empty"), (b"no video at all\n" * 999, "y4m")])
def test_nothing_and_no_video(data: bytes, word: str) -> None:
    with fed(data) as pipe, pytest.raises(InputError, match=f"standard input: .*{word}"):
        VideoReader(pipe)


@pytest.mark.parametrize("missing", [0, 1, 700, 1600, 1541])
@pytest.mark.parametrize("marker", [b"FRAME\n", b"FRAME Ip\n"])
def test_a_y4m_stream_that_ends_within_a_frame_says_so(
    missing: int, marker: bytes, tmp_path: Path
) -> None:
    """By pipe and by file; a frame takes 1536 bytes."""
    data = b"YUV4MPEG2 W32 H32 F25:1\n" + b"".join(marker + bytes(1536) for _ in range(3))
    path = tmp_path / "in.y4m"
    path.write_bytes(data[: len(data) - missing])
    whole, left = divmod(len(data) - missing - 24, len(marker) + 1536)
    with fed(path.read_bytes()) as pipe, VideoReader(pipe) as a, VideoReader(path) as b:
        for reader in (a, b):
            assert sum(isinstance(item, Frame) for item in reader.items()) == whole
            assert bool(reader.stopped) == bool(left)


@pytest.mark.parametrize(
    ("chroma", "siting"),
    [
        ("", ChromaLocation.CENTER),
        (" C420jpeg", ChromaLocation.CENTER),
        (" C420mpeg2 XCOLORRANGE=FULL", ChromaLocation.LEFT),
        (" C420paldv", ChromaLocation.TOPLEFT),
        (" C444", ChromaLocation.UNSPECIFIED),
    ],
)
def test_the_header_of_y4m_places_the_chroma(chroma: str, siting: ChromaLocation) -> None:
    head = f"YUV4MPEG2 W32 H32 F25:1{chroma}\nFRAME\n".encode()
    assert Y4mHeader.parse(head + bytes(99)) == Y4mHeader(siting, len(head) - 6, 6)


# --- standard output -----------------------------------------------------------------------------


def test_only_the_video_goes_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        place = StandardOutput()
        place.write(b"video")
        os.write(out.fileno(), b"a library talks\n")
        place.keep()
        out.write(" and text again")
    assert (tmp_path / "out").read_text() == "video and text again"
    assert "a library talks" in capfd.readouterr().err


@pytest.mark.parametrize("how", ["closed", "interrupted"])
def test_a_reader_that_is_gone_or_stuck(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = os.pipe()
    with open(ours, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        place = StandardOutput()
        if how == "closed":
            os.close(theirs)
        else:
            threading.Timer(0.05, place.interrupt).start()
        with pytest.raises(BrokenPipeError):
            place.write(bytes(1 << 20))  # more than a pipe takes
        place.drop()
    if how == "interrupted":
        os.close(theirs)


def test_a_file_given_by_name_and_as_standard_input_is_the_same(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mkv", noise(Look("yuv420p"), 1), Look("yuv420p"))
    (tmp_path / "other.mkv").write_bytes(path.read_bytes())
    with path.open("rb") as file, VideoReader(Pipe(file.fileno())) as reader:
        assert reader.is_file(path)
        assert not reader.is_file(tmp_path / "other.mkv")
        assert not reader.is_file(tmp_path / "none.mkv")
