"""Stages that overlap: what a channel promises, and what is left when a stage fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import Tensor

from david_cli import deblur_video
from david_cli.errors import DavidError, OutputError
from david_cli.inference import passage
from david_cli.inference.passage import CHANNEL_ITEMS
from david_cli.inference.report import Progress
from david_cli.inference.stages import Cancelled, Channel, Clock, StageThread
from david_cli.video.streams import EncodeOptions
from tests.footage import FRAMES, KnownNetwork, Look, known_deblurrer, noise, write_video

LOOK = Look("yuv420p")
FFV1 = EncodeOptions(codec="ffv1")


# --- channels ------------------------------------------------------------------------------------


def test_items_arrive_in_order_and_then_the_end() -> None:
    channel: Channel[int] = Channel(3)
    writer = threading.Thread(
        target=lambda: ([channel.put(i) for i in range(200)], channel.close())
    )
    writer.start()
    assert list(channel) == list(range(200))
    writer.join()


def test_a_full_channel_holds_its_writer() -> None:
    channel: Channel[int] = Channel(2)
    put: list[int] = []

    def write() -> None:
        for i in range(5):
            channel.put(i)
            put.append(i)
        channel.close()

    writer = threading.Thread(target=write)
    writer.start()
    _until(lambda: len(put) == 2)
    time.sleep(0.02)
    assert put == [0, 1]
    assert list(channel) == list(range(5))
    writer.join()


def test_an_error_comes_after_the_items_before_it() -> None:
    channel: Channel[str] = Channel(3)
    channel.put("a")
    channel.close(OutputError("no more"))
    seen = []
    with pytest.raises(OutputError, match="no more"):
        for item in channel:
            seen.append(item)
    assert seen == ["a"]


def test_cancelling_releases_both_sides() -> None:
    full: Channel[int] = Channel(1)
    full.put(0)
    empty: Channel[int] = Channel(1)
    sides = [
        StageThread("writer", lambda: full.put(1)),
        StageThread("reader", lambda: list(empty) and None),
    ]
    for side in sides:
        side.start()
    full.cancel()
    empty.cancel()
    for side in sides:
        side.join(timeout=5)
        assert not side.is_alive()
        assert side.error is None, "Cancelled is no error of its own"
    with pytest.raises(Cancelled):
        full.put(2)


def test_a_stage_keeps_the_error_that_ended_it() -> None:
    def fail() -> None:
        raise ValueError("broken")

    stage = StageThread("broken", fail)
    stage.start()
    stage.join()
    assert str(stage.error) == "broken"


def test_the_clock_names_the_busiest_stage() -> None:
    clock = Clock()
    assert clock.bottleneck == ""
    with clock.busy("network"):
        time.sleep(0.03)
    assert list(clock.timed("decode", iter("abc"))) == ["a", "b", "c"]
    assert clock.bottleneck == "network"
    assert clock.seconds["network"] >= 0.03 > clock.seconds["decode"]


def _until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not met():
        assert time.monotonic() < end
        time.sleep(0.001)


# --- failures on the way -------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mkv", noise(LOOK, 40), LOOK)


class Failing(KnownNetwork):
    """Raises at its tenth frame."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, window: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 10:
            raise self.error
        return super().forward(window)


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_a_failing_network_leaves_nothing(source: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        deblur_video(source, None, known_deblurrer(Failing(error)), encode=FFV1)
    _nothing_left(source)


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_a_failing_callback_leaves_nothing(source: Path, error: BaseException) -> None:
    def stop(step: Progress) -> None:
        if step.done == 10:
            raise error

    with pytest.raises(type(error)):
        deblur_video(source, None, known_deblurrer(), encode=FFV1, on_progress=stop)
    _nothing_left(source)


def test_a_failing_decoder_thread_leaves_nothing(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not damage, which the reader handles, but the unforeseen."""

    def items(self: passage.VideoReader) -> Iterator[passage.Item]:
        for number, item in enumerate(self._items):
            if number == 10:
                raise RuntimeError("broken")
            yield item

    monkeypatch.setattr(passage.VideoReader, "items", items)
    with pytest.raises(RuntimeError, match="broken"):
        deblur_video(source, None, known_deblurrer(), encode=FFV1)
    _nothing_left(source)


@pytest.mark.parametrize("count", [0, 12], ids=["at the first frame", "later"])
def test_a_failing_writer_is_the_error_that_is_told(
    source: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = passage.VideoWriter.write

    def fail(self: passage.VideoWriter, frame: passage.Frame) -> None:
        if self.frames_written == count:
            raise OutputError("the disk is full")
        write(self, frame)

    monkeypatch.setattr(passage.VideoWriter, "write", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        deblur_video(source, None, known_deblurrer(), encode=FFV1)
    _nothing_left(source)


def test_a_lost_frame_is_a_failure(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames out = frames in is asserted on every run."""
    write = passage.VideoWriter.write

    def forget(self: passage.VideoWriter, frame: passage.Frame) -> None:
        if frame.pts % 2:
            write(self, frame)

    monkeypatch.setattr(passage.VideoWriter, "write", forget)
    with pytest.raises(DavidError, match="40 frames decoded"):
        deblur_video(source, None, known_deblurrer(), encode=FFV1)
    _nothing_left(source)


def test_an_existing_result_survives_a_failure(source: Path) -> None:
    target = source.with_name("precious.mkv")
    target.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        deblur_video(source, target, known_deblurrer(), encode=FFV1)
    with pytest.raises(RuntimeError):
        deblur_video(
            source, target, known_deblurrer(Failing(RuntimeError())), encode=FFV1, overwrite=True
        )
    assert target.read_text() == "precious"
    target.unlink()
    _nothing_left(source)


def test_no_stage_runs_ahead_of_a_slow_one(source: Path) -> None:
    """What is decoded but not yet done stays within the channel, the window and a frame in hand."""
    decoded = 0
    ahead = 0
    items = passage.VideoReader.items

    def count(self: passage.VideoReader) -> Iterator[passage.Item]:
        nonlocal decoded
        for item in items(self):
            decoded += 1
            yield item

    def watch(step: Progress) -> None:
        nonlocal ahead
        time.sleep(0.005)
        ahead = max(ahead, decoded - step.done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passage.VideoReader, "items", count)
        deblur_video(source, None, known_deblurrer(), encode=FFV1, on_progress=watch)
    assert 0 < ahead <= CHANNEL_ITEMS + FRAMES // 2 + 2


def test_threads_end_with_the_run(source: Path) -> None:
    before = threading.active_count()
    deblur_video(source, None, known_deblurrer(), encode=FFV1)
    assert threading.active_count() == before


def test_a_failing_message_callback_leaves_nothing(tmp_path: Path) -> None:
    """Notes come before the first frame; AVI cannot hold B-frames, so there is one."""
    source = write_video(tmp_path / "in.avi", noise(LOOK, 5), LOOK)

    def stop(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="AVI"):
        deblur_video(source, None, known_deblurrer(), on_message=stop)
    _nothing_left(source)


def _nothing_left(source: Path) -> None:
    assert list(source.parent.iterdir()) == [source]
    assert not [t for t in threading.enumerate() if t.name.startswith("david-")]
