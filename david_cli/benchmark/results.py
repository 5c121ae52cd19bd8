"""What a benchmark finds out, in numbers only; tables and JSON are made from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from david_cli.benchmark.ceilings import Ceiling
from david_cli.benchmark.machine import Machine
from david_cli.errors import InputError

SCHEMA = 1
"""Version of the JSON."""
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
"""Width and height by the name that people use."""


@dataclass(frozen=True)
class Case:
    """One combination to be measured."""

    model: str
    """A shipped name, or a weights file."""
    size: str
    """One of `SIZES`."""
    device: str
    precision: str
    engine: str

    @property
    def name(self) -> str:
        """For people, and to find it again in another report; without the device."""
        return f"{Path(self.model).stem}, {self.size}, {self.precision}, {self.engine}"


@dataclass(frozen=True)
class Stage:
    """One stage run alone; all values for a frame."""

    name: str
    seconds: float
    """On the wall clock."""
    cpu: float
    """CPU-seconds, those of all threads together."""


@dataclass(frozen=True)
class EndToEnd:
    """A clip deblurred from file to file."""

    frames: int
    seconds: float
    """On the wall clock, from the call to the finished file."""
    cpu: float
    """CPU-seconds of all of it."""
    bottleneck: str
    """The stage that was busy longest."""
    busy: dict[str, float]
    """Seconds that each stage was busy."""
    peak_resident: float
    """Bytes: the most that the process held until its end."""
    peak_device: float | None
    """Bytes of a GPU's memory; None on the CPU."""

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


@dataclass(frozen=True)
class CaseResult:
    """All that was measured of a case."""

    case: Case
    cores: int
    tile: int
    """Largest edge of a tile; 0 for whole frames."""
    flops: float
    """Operations of the network's convolutions for a frame, tiles counted with their overlap."""
    convolutions: Stage
    """What these convolutions take alone."""
    complete: Stage | None
    """The network alone with no branch left out, as its convolutions are counted; None where none
    is left out anyway."""
    stages: tuple[Stage, ...]
    end_to_end: EndToEnd

    @property
    def network(self) -> Stage:
        """The network alone as it runs."""
        return next(stage for stage in self.stages if stage.name == "network")

    @property
    def whole_network(self) -> Stage:
        """The network alone, all of it."""
        return self.complete or self.network

    @property
    def over_convolutions(self) -> float:
        """The complete network's time in that of its convolutions."""
        return self.whole_network.seconds / self.convolutions.seconds

    @property
    def cpu_over_convolutions(self) -> float:
        """The same in CPU-seconds, which a busy machine disturbs less."""
        return self.whole_network.cpu / self.convolutions.cpu

    @property
    def over_stages(self) -> float:
        """The time from end to end in that which all cores need if none of them ever waits."""
        ideal = sum(stage.cpu for stage in self.stages) / self.cores
        return self.end_to_end.seconds / self.end_to_end.frames / ideal

    @property
    def cpu_over_stages(self) -> float:
        """CPU-seconds from end to end in those of the stages, each alone."""
        return self.end_to_end.cpu / self.end_to_end.frames / sum(s.cpu for s in self.stages)

    @property
    def over_slowest(self) -> float:
        """The time from end to end in that of the slowest stage alone."""
        slowest = max(stage.seconds for stage in self.stages)
        return self.end_to_end.seconds / self.end_to_end.frames / slowest


@dataclass(frozen=True)
class Share:
    """What an operator, or a stage, takes of the time."""

    name: str
    seconds: float
    """A frame."""
    share: float
    """Of the whole, 0 to 1."""
    calls: float
    """For a frame."""


@dataclass(frozen=True)
class Profile:
    """Where the time of a case goes."""

    case: Case
    operators: tuple[Share, ...]
    """Within the network, the largest first."""


@dataclass(frozen=True)
class Rung:
    """One more optimisation on top of those before it."""

    name: str
    seconds: float
    """A frame, on the wall clock."""
    cpu: float
    """CPU-seconds of a frame."""
    psnr: float | None
    """dB between its outputs and those of the first rung; None where they are equal."""


@dataclass(frozen=True)
class Ladder:
    """Every optimisation of a model, one after the other, in one run."""

    model: str
    size: str
    rungs: tuple[Rung, ...]


@dataclass(frozen=True)
class MemoryRun:
    """What the process of a run held; all in bytes."""

    model: str
    size: str
    frames: int
    tile: int
    """Largest edge of a tile; 0 for whole frames."""
    settled: float
    """At frame 100, or at the last one of a shorter clip."""
    last: float
    """At the last frame."""
    highest: float
    """The most at any frame between them."""
    peak: float
    """The most at any time."""


@dataclass(frozen=True)
class Report:
    """Everything that one benchmark measured."""

    machine: Machine
    ceilings: tuple[Ceiling, ...] = ()
    cases: tuple[CaseResult, ...] = ()
    profiles: tuple[Profile, ...] = ()
    ladders: tuple[Ladder, ...] = ()
    memory: tuple[MemoryRun, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    """Why cases were not measured, by their names."""


def to_json(report: Report) -> str:
    """The report as a file holds it."""
    return json.dumps({"schema": SCHEMA, **asdict(report)}, indent=2) + "\n"


def read_report(path: Path) -> Report:
    """Read what `to_json` wrote.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts.pop("schema") != SCHEMA:
            raise InputError(f"{path} is a report of another version of david: measure again")
        return _report(facts)
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err.strerror or err}") from err
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise InputError(f"{path} is no report of david bench: give one that --json wrote") from err


def _report(facts: dict[str, Any]) -> Report:
    return Report(
        machine=Machine(**facts["machine"]),
        ceilings=tuple(Ceiling(**fact) for fact in facts["ceilings"]),
        cases=tuple(_case_result(fact) for fact in facts["cases"]),
        profiles=tuple(
            Profile(Case(**fact["case"]), tuple(Share(**part) for part in fact["operators"]))
            for fact in facts["profiles"]
        ),
        ladders=tuple(
            Ladder(fact["model"], fact["size"], tuple(Rung(**rung) for rung in fact["rungs"]))
            for fact in facts["ladders"]
        ),
        memory=tuple(MemoryRun(**fact) for fact in facts["memory"]),
        failures=facts["failures"],
    )


def _case_result(facts: dict[str, Any]) -> CaseResult:
    plain: CaseResult = CaseResult(**facts)
    return replace(
        plain,
        case=Case(**facts["case"]),
        convolutions=Stage(**facts["convolutions"]),
        complete=None if facts["complete"] is None else Stage(**facts["complete"]),
        stages=tuple(Stage(**stage) for stage in facts["stages"]),
        end_to_end=EndToEnd(**facts["end_to_end"]),
    )
