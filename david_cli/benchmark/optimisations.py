"""Every optimisation in one run: what it gains on top of those before it, and what it changes.

Each rung of the ladder runs the code that ships, with one more of its switches on. What is timed is
what a frame costs once it is on the device as RGB: to arrange it, and the network on its window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from david_cli.benchmark.results import Ladder, Rung
from david_cli.benchmark.stages import prepare
from david_cli.benchmark.timing import measure
from david_cli.inference.device import multiplies_bf16
from david_cli.inference.engine import ChangeEngine, Changing, Engine, Entered, joined
from david_cli.inference.openvino import OpenVinoNetwork, is_installed
from david_cli.inference.window import sliding_windows
from david_cli.inference.workers import (
    Crew,
    at_work,
    batches,
    crew_size,
    few_threads,
    map_ahead,
)
from david_cli.metrics import IDENTICAL, psnr
from david_cli.network.david import David
from david_cli.network.fast import FastNetwork
from david_cli.network.weights import load_david

Way = Callable[[list[Tensor]], list[Tensor]]
"""Frames (3, H, W) -> as many deblurred ones (3, H, W)."""
BATCH = 4
"""Windows at once on a GPU, at any size: what that gains shows whether `BATCH_PIXELS` of
``david_cli.inference.workers`` is right."""


@dataclass(frozen=True)
class Step:
    """A rung before it is measured."""

    name: str
    way: Way


def measure_ladder(model: str, size: str, clip: Path, device: str, seconds: float) -> Ladder:
    """Climb it.

    Args:
        model: a shipped name, or a weights file.
        size: of the clip, by its name.
        clip: of as many frames as a window has, or more.
        device: where to compute.
        seconds: for each rung.
    """
    place = torch.device(device)
    network = load_david(model).to(place)
    frames = prepare(clip, network.config.frames, network.config.frames, place).rgb
    rungs: list[Rung] = []
    truth: Tensor | None = None
    for step in steps(network, place):
        with torch.inference_mode():
            outputs = torch.stack(step.way(frames)).cpu()
            timing = measure(partial(step.way, frames), place, seconds, least=1, warm=True)
        timing = timing.divided(len(frames))
        difference = None if truth is None else min(IDENTICAL, psnr(outputs, truth))
        truth = outputs if truth is None else truth
        rungs.append(Rung(step.name, timing.best, timing.cpu, difference))
    return Ladder(Path(model).stem, size, tuple(rungs))


def steps(network: David, device: torch.device) -> Iterator[Step]:
    """The rungs of a device, one after the other; nothing of one is kept for the next."""
    yield Step("plain network on every window", partial(plain, network))
    make = _on_gpu if device.type == "cuda" else _on_cpu
    yield from make(network, device)


def plain(network: David, frames: list[Tensor]) -> list[Tensor]:
    """As the network is trained: windows are stacked and go in one by one."""
    radius = network.config.frames // 2
    windows = sliding_windows(frames, radius=radius)
    return [network(torch.stack(window)[None])[0] for window in windows]


def through(engine: Engine, crew: Crew, radius: int, frames: list[Tensor]) -> list[Tensor]:
    """As videos are done: a frame enters once, workers take a batch of windows each."""

    @torch.inference_mode()
    def restore(windows: Sequence[tuple[Entered, ...]]) -> tuple[Tensor, ...]:
        window = joined(windows)
        centre = window[radius].again
        assert centre is not None
        return engine.restore([entered.features for entered in window], centre()).unbind()

    entered = (_entered(engine, rgb[None]) for rgb in frames)
    windows = batches(sliding_windows(entered, radius=radius), crew.batch)
    with few_threads(crew), at_work(crew) as pool:
        return list(chain.from_iterable(map_ahead(pool, restore, windows, crew.workers)))


def _entered(engine: Engine, frame: Tensor) -> Entered:
    """A frame (1, 3, H, W), kept beside what the engine made of it."""
    H, W = frame.shape[-2:]
    return Entered(engine.enter(frame), (H, W), again=lambda: frame)


def _on_cpu(network: David, device: torch.device) -> Iterator[Step]:
    radius, crew = network.config.frames // 2, crew_size(device)
    all_cores = Crew(1, torch.get_num_threads())

    def step(name: str, changing: Changing, crew: Crew) -> Step:
        return Step(name, partial(through, ChangeEngine(changing), crew, radius))

    unfused = FastNetwork(network, negligible=0.0, fused=False)
    yield step("frames arranged once", unfused, all_cores)
    yield step("fused convolutions", FastNetwork(network, negligible=0.0), all_cores)
    if network.external is not None:
        yield step("branches without weight left out", FastNetwork(network), all_cores)
    if crew.workers > 1:
        yield step("a frame for each core", FastNetwork(network), crew)
    if multiplies_bf16():
        yield step("bf16", FastNetwork(network, torch.bfloat16), crew)
    if is_installed():
        yield step("OpenVINO, fp32", OpenVinoNetwork(network, "fp32"), crew)
    if is_installed() and multiplies_bf16():
        yield step("OpenVINO, bf16", OpenVinoNetwork(network, "bf16"), crew)


def _on_gpu(network: David, device: torch.device) -> Iterator[Step]:
    radius = network.config.frames // 2
    one, several = Crew(1, None), Crew(1, None, BATCH)
    exact, half = FastNetwork(network), FastNetwork(network, torch.float16)
    yield Step("frames arranged once", partial(through, ChangeEngine(exact), one, radius))
    yield Step("fp16", partial(through, ChangeEngine(half), one, radius))
    yield Step(f"{BATCH} windows at once", partial(through, ChangeEngine(half), several, radius))
