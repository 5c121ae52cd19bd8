"""Cases, ladders, profiles and memory, measured for real on next to nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from david_cli.benchmark.case import LEAST_FRAMES, Effort, measure_case
from david_cli.benchmark.layers import layers_of, total_flops
from david_cli.benchmark.memory import Length, watch
from david_cli.benchmark.optimisations import measure_ladder, plain, through
from david_cli.benchmark.profiling import MOST, largest, profile_case
from david_cli.benchmark.results import Case
from david_cli.benchmark.run import Plan, default_models, default_sizes
from david_cli.benchmark.stages import prepare
from david_cli.errors import UsageError
from david_cli.inference.engine import torch_engine
from david_cli.inference.workers import Crew
from david_cli.network.shipped import AUTO
from david_cli.network.weights import load_david
from tests.benchmark.conftest import TINY

NONE = Effort(run=0.0, stage=0.0, ceiling=0.0)
CPU = torch.device("cpu")


def test_a_case_measures_every_stage(attentive: Path, footage: Path) -> None:
    case = Case(str(attentive), "360p", "cpu", "fp32", "torch")
    result = measure_case(case, footage, NONE)
    assert [stage.name for stage in result.stages] == [
        *("decode", "transfer", "colour", "enter", "network", "blend", "encode")
    ]
    assert all(stage.seconds > 0 and stage.cpu >= 0 for stage in result.stages)
    assert result.flops == total_flops(layers_of(TINY, 48, 64))
    assert result.convolutions.seconds > 0
    assert result.complete is not None  # a network with attention
    assert result.tile == 0
    whole = result.end_to_end
    assert whole.frames == LEAST_FRAMES
    assert whole.seconds > 0
    assert set(whole.busy) >= {"decode", "network", "encode"}
    assert whole.peak_resident > 2**26
    assert case.name == "tiny, 360p, fp32, torch"


def test_every_way_gives_the_same_picture(attentive: Path, footage: Path) -> None:
    """A faster one that computes something else would be no optimisation."""
    network = load_david(attentive)
    frames = prepare(footage, 7, 7, CPU).rgb
    engine = torch_engine(network, torch.float32)
    with torch.inference_mode():
        truth = plain(network, frames)
        for other in (
            through(engine, Crew(1, 1), 3, frames),
            through(engine, Crew(3, 1), 3, frames),
            through(engine, Crew(1, 1, 4), 3, frames),
        ):
            assert len(other) == len(frames)
            for a, b in zip(truth, other, strict=True):
                assert torch.allclose(a, b, atol=2e-3)


def test_the_ladder_begins_with_the_plain_network(attentive: Path, footage: Path) -> None:
    ladder = measure_ladder(str(attentive), "360p", footage, "cpu", 0.0)
    first, *others = ladder.rungs
    assert first.name == "plain network on every window"
    assert first.psnr is None
    names = [rung.name for rung in others]
    assert names[:3] == [
        "frames arranged once",
        "fused convolutions",
        "branches without weight left out",
    ]
    assert all(rung.seconds > 0 for rung in ladder.rungs)
    assert all(rung.psnr is not None and rung.psnr > 40 for rung in others)
    assert others[1].psnr is not None
    assert others[1].psnr > 90  # the same arithmetic


def test_the_profile_names_the_convolutions(attentive: Path, footage: Path) -> None:
    case = Case(str(attentive), "360p", "cpu", "fp32", "torch")
    profile = profile_case(case, footage)
    assert any("conv" in share.name for share in profile.operators)
    assert sum(share.share for share in profile.operators) == pytest.approx(1)
    assert len(profile.operators) <= MOST + 1


def test_the_smaller_operators_are_one_row() -> None:
    events = [
        SimpleNamespace(key=f"op{i}", self_cpu_time_total=i * 1e6, count=2 * i)
        for i in range(MOST + 3)
    ]
    shares = largest(events, CPU, frames=2)  # type: ignore[arg-type]
    assert [share.name for share in shares[:2]] == [f"op{MOST + 2}", f"op{MOST + 1}"]
    assert shares[0].seconds == (MOST + 2) / 2
    assert shares[0].calls == MOST + 2
    assert shares[-1].name == "3 others"
    assert shares[-1].seconds == (0 + 1 + 2) / 2


def test_memory_is_watched(attentive: Path, footage: Path) -> None:
    run = watch(footage, Length("360p", 20), str(attentive))
    assert run.frames == 20
    assert 2**26 < run.settled <= run.peak
    assert run.last <= run.highest <= run.peak


def test_a_plan_is_every_combination() -> None:
    plan = Plan(
        ("a", "b"), ("360p", "4k"), ("auto", "fp32", "bf16"), ("auto", "torch"), "cpu", NONE
    )
    cases = list(plan.cases())
    assert len(cases) == len(set(cases)) == 2 * 2 * 2  # auto is one of the others
    assert Case("b", "4k", "cpu", "bf16", "torch") in cases
    assert {case.precision for case in cases} == {"fp32", "bf16"}
    for precision, engine in (("fp8", "torch"), ("fp32", "steam")):
        with pytest.raises(UsageError):
            list(Plan(("a",), ("360p",), (precision,), (engine,), "cpu", NONE).cases())


def test_defaults_are_bearable() -> None:
    assert default_sizes("cpu", quick=False) == ("360p", "720p")
    assert default_sizes("cpu", quick=True) == ("360p",)
    assert default_models(quick=True) == (AUTO,)
