"""Made-up results, whose every ratio is known."""

from __future__ import annotations

from dataclasses import replace

from david_cli.benchmark.ceilings import Ceiling
from david_cli.benchmark.machine import Machine
from david_cli.benchmark.results import (
    Case,
    CaseResult,
    EndToEnd,
    Ladder,
    MemoryRun,
    Profile,
    Report,
    Rung,
    Share,
    Stage,
)

CASE = Case("david-lite", "360p", "cpu", "fp32", "torch")
MACHINE = Machine("A processor", 2, 16.0, "Linux x86_64", "cpu", None, {"david": "1", "torch": "2"})
RESULT = CaseResult(
    case=CASE,
    cores=2,
    tile=0,
    flops=4e9,
    convolutions=Stage("convolutions", 0.04, 0.08),
    complete=Stage("network", 0.05, 0.088),
    stages=(
        Stage("decode", 0.002, 0.004),
        Stage("network", 0.05, 0.088),
        Stage("encode", 0.006, 0.008),
    ),
    end_to_end=EndToEnd(
        frames=100,
        seconds=5.5,
        cpu=10.5,
        bottleneck="network",
        busy={"decode": 0.2, "network": 5.0, "encode": 0.7},
        peak_resident=500 * 2**20,
        peak_device=None,
    ),
)
CEILINGS = (
    Ceiling("matrix product", "fp32", "512x512", 2e11),
    Ceiling("3x3 convolution", "fp32", "1 x 16 to 16 channels, 8x8", 1e11),
    Ceiling("3x3 convolution", "fp32", "1 x 32 to 32 channels, 8x8", 1.6e11),
    Ceiling("3x3 convolution", "bf16", "1 x 32 to 32 channels, 8x8", 9e11),
    Ceiling("copy", "", "within memory", 1.1e10),
)
REPORT = Report(
    machine=MACHINE,
    ceilings=CEILINGS,
    cases=(RESULT,),
    profiles=(Profile(CASE, (Share("aten::conv", 0.03, 0.75, 19), Share("rest", 0.01, 0.25, 4))),),
    ladders=(
        Ladder(
            "david-lite", "360p", (Rung("plain", 0.2, 0.4, None), Rung("better", 0.05, 0.1, 91.2))
        ),
    ),
    memory=(MemoryRun("david-lite", "4k", 60, 1024, 1e9, 1.02e9, 1.1e9, 1.2e9),),
    failures={"david, 4k, fp32": "memory ran out"},
)


def faster(by: float) -> Report:
    """The same machine with a david that needs this part of the time and CPU-seconds."""
    network = Stage("network", 0.05 / by, 0.088 / by)
    stages = tuple(network if s.name == "network" else s for s in RESULT.stages)
    whole = replace(RESULT.end_to_end, seconds=5.5 / by, cpu=10.5 / by)
    return replace(REPORT, cases=(replace(RESULT, stages=stages, end_to_end=whole),))
