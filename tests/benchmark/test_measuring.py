"""The instruments: clocks, layers, ceilings, processes, the clip."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from david_cli.benchmark import ceilings
from david_cli.benchmark.child import in_own_process
from david_cli.benchmark.footage import RATE, mirrored, write_clip
from david_cli.benchmark.layers import Layer, layers_of, seconds_alone, total_flops
from david_cli.benchmark.machine import peak_resident, this_machine
from david_cli.benchmark.timing import Timing, measure, measure_crew
from david_cli.errors import DavidError, DeviceError, InputError
from david_cli.inference.workers import Crew
from david_cli.network.build import count_gmacs
from david_cli.network.david import DAVID, DAVID_LITE, PAPER_LAYOUT, DavidConfig
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader
from tests.benchmark.errands import answer, die, fail, stumble

CPU = torch.device("cpu")


def test_runs_are_counted_and_the_first_is_not() -> None:
    calls: list[int] = []
    timing = measure(lambda: calls.append(1), CPU, 0.0, least=4)
    assert (timing.runs, len(calls)) == (4, 5)
    assert measure(lambda: calls.append(1), CPU, 0.0, least=1, warm=True).runs == 1
    assert len(calls) == 6
    assert measure(lambda: calls.append(1), CPU, 0.05).runs > 3


def test_waiting_takes_time_and_no_processor() -> None:
    timing = measure(lambda: time.sleep(0.02), CPU, 0.0)
    assert timing.best >= 0.02
    assert timing.best <= timing.median
    assert timing.cpu < timing.best
    assert timing.divided(2) == Timing(
        timing.best / 2, timing.median / 2, timing.cpu / 2, timing.runs
    )


def test_workers_that_wait_side_by_side_take_a_share_each() -> None:
    with ThreadPoolExecutor(4) as pool:
        timing = measure_crew(lambda: time.sleep(0.06), pool, 4, CPU, 0.0)
    assert 0.015 <= timing.best < 0.06


@pytest.mark.parametrize(
    "config",
    [
        DAVID_LITE,
        replace(DAVID, modules=2, branches=(1, 7)),
        replace(PAPER_LAYOUT, modules=1, branches=(7,)),
    ],
)
def test_layers_are_all_the_operations_there_are(config: DavidConfig) -> None:
    """Against torch's own counter."""
    height, width = 60, 96  # 60 is padded
    layers = layers_of(config, height, width)
    assert total_flops(layers) == pytest.approx(2e9 * count_gmacs(config, height, width))
    assert total_flops(layers_of(config, height, width, tiles=3)) == 3 * total_flops(layers)


def test_a_strided_layer_has_a_quarter_of_the_operations() -> None:
    whole = Layer((1, 4, 8, 8), 6, (3, 3), (1, 1), (1, 1))
    halved = Layer((1, 4, 8, 8), 6, (3, 3), (2, 2), (1, 1))
    assert whole.flops == 2 * 6 * 4 * 9 * 64
    assert halved.flops * 4 == whole.flops


def test_layers_run_alone_take_their_time() -> None:
    layers = Counter({Layer((1, 4, 8, 8), 6, (3, 3), (2, 2), (1, 1)): 5})
    wall, cpu = seconds_alone(layers, torch.float32, CPU, Crew(1, 1), 0.0)
    assert wall > 0
    assert cpu > 0


def test_every_ceiling_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "MATRICES", {"cpu": (8,)})
    monkeypatch.setattr(ceilings, "CONVOLUTIONS", ((2, 3, 4, 5),))
    monkeypatch.setattr(ceilings, "COPIED_BYTES", 1 << 10)
    found = list(ceilings.measure_ceilings(CPU, 0.0))
    precisions = ceilings.usable_precisions(CPU)
    kinds = ("matrix product", "3x3 convolution")
    assert [(c.kind, c.precision) for c in found] == [
        *((kind, precision) for precision in precisions for kind in kinds),
        ("copy", ""),
    ]
    assert all(c.rate > 0 for c in found)


def peak() -> float:
    return peak_resident()


def test_a_process_of_its_own_answers_or_says_why_not() -> None:
    assert in_own_process(answer, 4) == 5
    with pytest.raises(InputError, match="no such file"):
        in_own_process(fail)
    with pytest.raises(DavidError, match="unexpected KeyError: 'lost'"):
        in_own_process(stumble)
    with pytest.raises(DeviceError, match="code 9"):
        in_own_process(die)


def test_its_memory_is_its_own() -> None:
    held = torch.ones(1 << 28)  # 1 GiB in this process
    assert peak_resident() > held.nbytes
    assert in_own_process(peak) < held.nbytes


def test_the_machine_names_itself() -> None:
    machine = this_machine(CPU)
    assert machine.processor
    assert machine.cores >= 1
    assert machine.memory > 0.1
    assert set(machine.versions) >= {"david", "torch", "python", "av"}
    assert machine.is_like(machine)


def test_the_clip_is_a_picture_in_motion(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, 96, 64, 9)
    with VideoReader(path) as reader:
        frames = [item for item in reader.items() if isinstance(item, Frame)]
        assert reader.info.rate == RATE
    assert len(frames) == 9
    assert frames[0].planes[0].shape == (64, 96)
    lumas = [frame.planes[0].astype(float) for frame in frames]
    assert all(np.abs(a - b).mean() > 0.5 for a, b in pairwise(lumas))
    assert lumas[0].std() > 5


def test_the_picture_goes_on_in_mirrors() -> None:
    wide = mirrored(800, 700)
    assert wide.shape == (3, 700, 800)
    assert torch.equal(wide[..., :360].flip(-1), wide[..., 360:720])
    assert torch.equal(wide[:, 580:640], wide[:, 640:700].flip(-2))
    assert torch.equal(mirrored(50, 40), wide[:, :40, :50])
