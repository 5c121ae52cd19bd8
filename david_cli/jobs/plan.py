"""Everything that decides what the frames of one output will be, fixed before the first one.

A plan lies in a folder of its own beside the output, with the journal of what is done of it. Who
has the folder and the source can run any segment, anywhere, and gets what anybody else would get.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from david_cli.errors import InputError
from david_cli.files import replace_file, sync
from david_cli.jobs.fingerprint import Fingerprint
from david_cli.jobs.folder import PLAN, state_folder
from david_cli.jobs.journal import JOINED, Journal
from david_cli.video.deinterlace import Deinterlace
from david_cli.video.frame import ColorSpec
from david_cli.video.part import Part
from david_cli.video.sample import Sample
from david_cli.video.streams import OutputPlan
from david_cli.video.wishes import EncodeOptions

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a user asks for."""

    source: Path
    target: Path | None = None
    model: str = "auto"
    """As `load_deblurrer` takes it."""
    tile: str | int = "auto"
    strength: float = 1.0
    deinterlace: Deinterlace = "auto"
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    start: Fraction | None = None
    """Seconds after the first frame."""
    end: Fraction | None = None


@dataclass(frozen=True)
class Estimate:
    """What a job will probably take."""

    seconds: float
    """Of the network alone, on the device that was tried."""
    memory: int
    """Bytes at the peak."""
    disk: int
    """Bytes of the output, from what the encoder makes of the first frames: a guess."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job with every choice made."""

    token: str
    """Of this plan alone: what another one finished in the same folder does not count."""
    target: Path
    job: Job
    output: OutputPlan
    """How the whole output is written; without the sample."""
    settings: dict[str, str]
    """All that decides the output, in words: what is compared when a run goes on."""
    source: Fingerprint
    model: str
    """A shipped name or the path of a file."""
    device: str
    """Its kind: ``cpu``, ``cuda`` or ``mps``."""
    precision: str
    tile: int
    """Largest tile edge; the journal may hold a smaller one."""
    overlap: int
    sharp_above: float | None = None
    """Sharpness from which on frames are left alone."""
    engine: str = "torch"
    """What computes the network."""
    weights: str
    """Digest of the network's values."""
    threads: int
    """Of torch, for each frame in work."""
    origin: Fraction
    """Time of the source's first frame in seconds."""
    time_base: Fraction
    """Of ``times``."""
    times: tuple[int, ...]
    """pts of all frames of the output in the source."""
    bounds: tuple[int, ...]
    """Number of each segment's first frame, and the number of frames at the end."""
    estimate: Estimate

    @property
    def folder(self) -> Path:
        """Where plan, journal and segments are."""
        return state_folder(self.target)

    @cached_property
    def journal(self) -> Journal:
        """What is done of the plan."""
        return Journal(self.folder, self.token)

    @property
    def segments(self) -> int:
        return len(self.bounds) - 1

    @property
    def shift(self) -> Fraction:
        """Seconds by which the output is earlier than the source: a part of it begins at 0."""
        is_part = self.job.start or self.job.end is not None
        return self.times[0] * self.time_base if is_part else Fraction(0)

    def frames_of(self, index: int) -> range:
        """Numbers of a segment's frames."""
        return range(self.bounds[index], self.bounds[index + 1])

    def part(self, index: int, halo: int, *, exact: bool) -> Part:
        """What to read for a segment.

        Args:
            index: of the segment.
            halo: frames on either side.
            exact: whether to insist on the times that the plan has.
        """
        frames = self.frames_of(index)
        stop = None if frames.stop == len(self.times) else self.times[frames.stop]
        expected = self.times[max(0, frames.start - halo) : frames.stop + halo] if exact else None
        return Part(self.times[frames.start], stop, halo, expected)

    def begin(self, index: int, halo: int) -> Fraction | None:
        """Seconds after the source's first frame from which a segment can be read.

        One frame before its halo: what deinterlacing makes of a frame depends on the one before.
        """
        first = self.frames_of(index).start - halo - 1
        if first <= 0:
            return self.job.start
        return self.times[first] * self.time_base - self.origin

    def save(self) -> Path:
        """Write the plan into its folder.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.folder / PLAN
        if self.journal.joined:  # of an earlier plan
            (self.folder / JOINED).unlink()
        text = json.dumps({"schema": SCHEMA, **_facts(self)}, indent=1, default=str)
        replace_file(path, text.encode(), durable=True)
        sync(self.folder.parent)  # the folder itself may be new
        return path


def load_plan(path: Path) -> Plan:
    """Read a plan. Where its folder was moved, the output is beside it in the new place.

    Raises:
        InputError: there is none, or it is of another version of david.
    """
    try:
        facts = json.loads(path.read_bytes())
        if facts.pop("schema") == SCHEMA:
            return _beside(path, _plan(facts))
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such plan; 'david plan' makes one") from err
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        raise InputError(f"{path}: is no plan that 'david plan' wrote ({err})") from err
    raise InputError(f"{path}: was made by another version of david; start over with --fresh")


def _beside(path: Path, plan: Plan) -> Plan:
    """The plan with its target where its folder is now; as it was for a copy elsewhere."""
    target = path.absolute().parent.with_name(plan.target.name)
    return replace(plan, target=target) if state_folder(target) / PLAN == path.absolute() else plan


def _facts(plan: Plan) -> dict[str, Any]:
    """For JSON, but for paths and fractions, which become strings."""
    facts = asdict(replace(plan, output=replace(plan.output, sample=Sample())))
    del facts["output"]["sample"]
    return facts


def _plan(facts: Mapping[str, Any]) -> Plan:
    job, output = dict(facts["job"]), dict(facts["output"])
    for name in ("source", "target"):
        job[name] = job[name] and Path(job[name])
    for name in ("start", "end"):
        job[name] = job[name] and Fraction(job[name])
    output["target"], output["color"] = Path(output["target"]), ColorSpec(**output["color"])
    for name in ("copied", "kept", "losses", "notes"):
        output[name] = tuple(output[name])
    read = {
        "target": Path(facts["target"]),
        "job": Job(**{**job, "encode": EncodeOptions(**job["encode"])}),
        "output": OutputPlan(**output),
        "source": Fingerprint(**facts["source"]),
        "origin": Fraction(facts["origin"]),
        "time_base": Fraction(facts["time_base"]),
        "times": tuple(facts["times"]),
        "bounds": tuple(facts["bounds"]),
        "estimate": Estimate(**facts["estimate"]),
    }
    return Plan(**{**facts, **read})
