"""Each stage of a run alone, on the first frames of a clip: seconds and CPU-seconds a frame.

    decode | transfer, colour, enter | network, blend | colour, transfer | encode

These are the calls that `inference.passage` makes, one kind at a time and with nothing beside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import torch
from torch import Tensor

from david_cli.benchmark.results import Stage
from david_cli.benchmark.timing import Timing, measure, measure_crew
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.device import DTYPES
from david_cli.inference.engine import ChangeEngine, Engine, Entered, make_engine
from david_cli.inference.guard import is_sound
from david_cli.inference.repeats import is_repeat
from david_cli.inference.tiling import run_tiles
from david_cli.inference.workers import at_work, few_threads
from david_cli.network.fast import FastNetwork, is_fast
from david_cli.scenes import is_scene_cut, thumbnail
from david_cli.transfer import change_in_source, to_learned_range
from david_cli.video.color import add_change, planes_to_rgb, to_arrays, to_tensors
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, plan_output
from david_cli.video.writer import VideoWriter


@dataclass(frozen=True)
class Material:
    """A clip, taken to the point where each stage begins."""

    clip: Path
    frames: list[Frame]
    planes: list[tuple[Tensor, ...]]
    """Of the frames of one window, on the device, as are all that follow."""
    rgb: list[Tensor]
    """(3, H, W) each."""

    @property
    def size(self) -> tuple[int, int]:
        """H and W."""
        return self.frames[0].height, self.frames[0].width


@torch.inference_mode()
def prepare(clip: Path, count: int, window: int, device: torch.device) -> Material:
    """Read the first frames of a clip.

    Args:
        clip: of as many frames as make a window, or more.
        count: of frames to read.
        window: frames of a window.
        device: on which they go.
    """
    with VideoReader(clip) as reader:
        frames = list(islice(_frames_of(reader), max(count, window)))
    planes = [to_tensors(frame, device) for frame in frames[:window]]
    rgb = [_seen(frame, own) for frame, own in zip(frames, planes, strict=False)]
    return Material(clip, frames, planes, rgb)


def measure_stages(deblurrer: Deblurrer, given: Material, seconds: float) -> tuple[Stage, ...]:
    """All of them, in the order in which a frame meets them.

    Args:
        deblurrer: in its own device, precision and tiling, and with its own crew.
        given: from `prepare`.
        seconds: for each.
    """
    engine = make_engine(deblurrer.network, deblurrer.engine, deblurrer.precision)
    timings = {
        "decode": _decode(given, deblurrer.device, seconds),
        "transfer": _transfer(given, deblurrer.device, seconds),
        "colour": _colour(given, deblurrer.device, seconds),
        "enter": _enter(given, deblurrer, seconds),
        "network": network_alone(given, deblurrer, engine, seconds),
        "blend": _blend(given, deblurrer, seconds),
        "encode": _encode(given, deblurrer.device, seconds),
    }
    return tuple(Stage(name, timing.best, timing.cpu) for name, timing in timings.items())


def network_alone(given: Material, deblurrer: Deblurrer, engine: Engine, seconds: float) -> Timing:
    """The network on a tile that has entered, as often as a frame has tiles; nothing else.

    Args:
        given: from `prepare`.
        deblurrer: its tiles and its crew.
        engine: of the same network.
        seconds: to go on.
    """
    grid, radius = deblurrer.grid(*given.size), deblurrer.frames // 2
    rows, columns = (spans[0].stop - spans[0].start for spans in (grid.rows, grid.columns))
    tiles = [rgb[None, :, :rows, :columns] for rgb in given.rgb]
    crew = deblurrer.crew
    with torch.inference_mode(), few_threads(crew), at_work(crew) as pool:
        window, centre = [engine.enter(tile) for tile in tiles], tiles[radius]
        work = partial(engine.restore, window, centre)
        timing = measure_crew(work, pool, crew.workers, deblurrer.device, seconds)
    return timing.divided(1 / len(grid))


def complete_network(given: Material, deblurrer: Deblurrer, seconds: float) -> Timing | None:
    """The same with the branches that have no weight anywhere in the tile; None if all run anyway.

    Arguments as `measure_stages` has them.
    """
    network = deblurrer.network
    if deblurrer.engine != "torch" or not is_fast(network):
        return None
    if (network.config.modules, len(network.config.branches)) == (1, 1):
        return None
    whole = FastNetwork(network, DTYPES[deblurrer.precision], negligible=0.0)
    return network_alone(given, deblurrer, ChangeEngine(whole), seconds)


def _decode(given: Material, device: torch.device, seconds: float) -> Timing:
    count = len(given.frames)

    def work() -> None:
        with VideoReader(given.clip) as reader:
            for _ in islice(_frames_of(reader), count):
                pass

    return measure(work, device, seconds, least=1, warm=True).divided(count)


def _transfer(given: Material, device: torch.device, seconds: float) -> Timing:
    """Planes to the device, and back."""

    def work() -> None:
        for frame, planes in zip(given.frames, given.planes, strict=False):
            to_tensors(frame, device)
            to_arrays(planes, frame.format)

    return measure(work, device, seconds).divided(len(given.planes))


@torch.inference_mode()
def _colour(given: Material, device: torch.device, seconds: float) -> Timing:
    """Planes to RGB and the look for cuts and repeats; the change in RGB back to planes."""
    change = given.rgb[0] * 0.9

    def work() -> None:
        small: list[Tensor] = []
        for frame, planes in zip(given.frames, given.planes, strict=False):
            rgb = _seen(frame, planes)
            small.append(thumbnail(rgb))
            moved = change_in_source(change, rgb, frame.color.transfer)
            add_change(planes, moved, frame.format, frame.color)
        for a, b in pairwise(small):
            is_scene_cut(a, b)
        for before, frame in pairwise(given.frames[: len(small)]):
            is_repeat(before, frame)

    return measure(work, device, seconds).divided(len(given.planes))


def _enter(given: Material, deblurrer: Deblurrer, seconds: float) -> Timing:
    """Frames arranged for the network, and the centre taken back out."""

    def work() -> None:
        for rgb in given.rgb:
            entered: Entered = deblurrer.enter(rgb[None])
            deblurrer.rgb_of(entered)

    return measure(work, deblurrer.device, seconds).divided(len(given.rgb))


@torch.inference_mode()
def _blend(given: Material, deblurrer: Deblurrer, seconds: float) -> Timing:
    """Tiles put together, and the result compared with the source."""
    grid = deblurrer.grid(*given.size)
    sharp = given.rgb[0][None]

    def work() -> None:
        is_sound(sharp, run_tiles(lambda area: sharp[area.slices], grid))

    return measure(work, deblurrer.device, seconds)


def _encode(given: Material, device: torch.device, seconds: float) -> Timing:
    """Into a file, which is finished, as a whole run would; made ready before the time runs."""
    count = len(given.frames)
    with tempfile.TemporaryDirectory() as folder, VideoReader(given.clip) as reader:
        plan = plan_output(reader, Path(folder, "out.mp4"), EncodeOptions())

        def work() -> None:
            writer = VideoWriter(plan, reader)
            for frame in given.frames:
                writer.write(frame)
            writer.finish()

        return measure(work, device, seconds, least=1, warm=True).divided(count)


def _frames_of(reader: VideoReader) -> Iterator[Frame]:
    return (item for item in reader.items() if isinstance(item, Frame))


def _seen(frame: Frame, planes: Sequence[Tensor]) -> Tensor:
    """The frame as the network sees it: (3, H, W)."""
    rgb = planes_to_rgb(planes, frame.format, frame.color)
    return to_learned_range(rgb, frame.color.transfer)
