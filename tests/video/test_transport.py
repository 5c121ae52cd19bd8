"""Transport streams as receivers and camcorders leave them: times damaged, recordings joined."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.packet import Packet

from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader
from david_cli.video.scan import scan
from tests.video.clips import Clip, make_clip

VIDEO = 0xE0
SECOND = 90_000
CLIP = Clip("mpeg2video", times=tuple(range(100)), audio="mp2", options={"g": "10"})


def read(path: Path, start: int = 0, end: int | None = None) -> tuple[list[Frame], list[float]]:
    """Frames, and seconds at which packets of sound begin."""
    stop = None if end is None else Fraction(end)
    with VideoReader(path, start=Fraction(start), end=stop) as reader:
        items = list(reader.items())
        sound = [i for i in items if isinstance(i, Packet) and i.stream.type == "audio"]
        times = [float(p.pts * p.time_base) for p in sound if p.pts is not None]
    return [item for item in items if isinstance(item, Frame)], times


def seconds(frames: list[Frame]) -> list[float]:
    return [float(frame.pts * frame.time_base) for frame in frames]


def damage(path: Path, numbers: set[int], ticks: int) -> None:
    """Add to both times in the headers of some video packets."""
    data, count = bytearray(path.read_bytes()), 0
    for at in range(0, len(data), 188):
        if not data[at + 1] & 0x40:
            continue  # no packet begins here
        pes = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        if data[pes : pes + 3] != b"\0\0\1" or data[pes + 3] != VIDEO:
            continue
        if count in numbers:
            for place in (pes + 9, pes + 14)[: 1 + (data[pes + 7] >> 6 & 1)]:
                _shift(data, place, ticks)
        count += 1
    assert max(numbers) < count
    path.write_bytes(data)


def _shift(data: bytearray, at: int, ticks: int) -> None:
    """33 bits in three parts, each with a marker behind it."""
    high, middle, low = data[at], data[at + 1] << 8 | data[at + 2], data[at + 3] << 8 | data[at + 4]
    time = ((high >> 1 & 7) << 30 | middle >> 1 << 15 | low >> 1) + ticks
    data[at] = high & 0xF1 | (time >> 30 & 7) << 1
    data[at + 1 : at + 3] = ((time >> 15 & 0x7FFF) << 1 | 1).to_bytes(2, "big")
    data[at + 3 : at + 5] = ((time & 0x7FFF) << 1 | 1).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("numbers", "ticks"),
    [
        ({40}, 30 * SECOND),
        ({40}, -2 * SECOND + 1),
        ({40, 41, 44}, 30 * SECOND),
        ({99}, 3000 * SECOND),
    ],
    ids=["ahead", "behind", "several", "last"],
)
def test_damaged_times_move_nothing_else(numbers: set[int], ticks: int, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.ts", CLIP)
    frames, sound = read(path)
    damage(path, numbers, ticks)
    mended, still = read(path)
    assert seconds(mended) == pytest.approx(seconds(frames), abs=0.1)
    assert still == sound
    with VideoReader(path) as reader:
        assert scan(reader) is None  # what a part shows would depend on all before it
        assert sum(isinstance(item, Frame) for item in reader.items()) == 100
    assert f"packets with damaged times: {len(numbers)}" in " ".join(reader.warnings)


def test_a_leap_of_the_clock_itself_is_kept(tmp_path: Path) -> None:
    """Half a minute in which nothing was received."""
    path = make_clip(tmp_path / "in.ts", CLIP)
    before = seconds(read(path)[0])
    damage(path, set(range(50, 100)), 30 * SECOND)
    after = seconds(read(path)[0])
    assert after[:50] == before[:50]
    assert after[50:] == pytest.approx([time + 30 for time in before[50:]])


@pytest.mark.parametrize("start", [1, 3, 5, 7])
def test_a_part_of_joined_recordings_is_that_part(start: int, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.ts", CLIP)
    path.write_bytes(path.read_bytes() * 2)
    whole, _ = read(path)
    first = seconds(whole)[0]
    wanted = [f for f in whole if start <= float(f.pts * f.time_base) - first < start + 1]
    frames, _ = read(path, start, start + 1)
    assert [frame.pts for frame in frames] == [frame.pts for frame in wanted]
    for frame, other in zip(frames, wanted, strict=True):
        assert all(map(np.array_equal, frame.planes, other.planes))
