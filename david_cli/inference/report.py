"""What a run tells: how far it is, what it met on the way, and what it did in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from david_cli.errors import InputError, OutputError
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.guard import GuardEvents
from david_cli.inference.stages import Clock
from david_cli.video.frame import VideoInfo
from david_cli.video.reader import VideoReader
from david_cli.video.streams import OutputPlan
from david_cli.video.verify import Verification, verify_file
from david_cli.video.writer import VideoWriter


@dataclass(frozen=True)
class Progress:
    """How far a run is; given to ``on_progress`` after every frame."""

    done: int
    """Frames handed to the encoder."""
    total: int | None
    """Frames expected, where the container says so; a hint."""
    fps: float
    """Frames per second since the start."""
    elapsed: float
    """Seconds."""
    eta: float | None
    """Seconds left, where a total is known."""
    bottleneck: str
    """The stage that limits speed: ``decode``, ``network`` or ``encode``."""
    stage_seconds: dict[str, float]
    """Busy seconds per stage."""
    segment: int | None = None
    """Number of the segment in hand, from 1; None in a run without segments."""
    segments: int | None = None
    """How many segments there are."""


@dataclass(frozen=True)
class Report:
    """What a finished run did."""

    source: Path
    target: Path
    frames: int
    seconds: float
    fps: float
    plan: OutputPlan
    warnings: tuple[str, ...]
    """Everything worth knowing that is no error: losses, repairs, an early end of decoding."""
    events: GuardEvents
    stage_seconds: dict[str, float]
    bottleneck: str
    model: str
    device: str
    precision: str
    tile: int
    engine: str
    """What computed the network: ``torch`` or ``openvino``."""
    verification: Verification | None = None
    """What ``verify`` found."""


class RunReport:
    """Collects what there is to tell while a run goes on."""

    def __init__(
        self,
        plan: OutputPlan,
        deblurrer: Deblurrer,
        on_message: Callable[[str], None] | None,
    ) -> None:
        """Begin; the time runs from here."""
        self.plan, self.deblurrer, self.on_message = plan, deblurrer, on_message
        self.warnings: list[str] = []
        self.verification: Verification | None = None
        self._started = time.perf_counter()

    def say(self, *lines: str) -> None:
        """Pass each line on, and keep it."""
        for line in lines:
            self.warnings.append(line)
            if self.on_message:
                self.on_message(line)

    def verifier(self, reader: VideoReader, writer: VideoWriter) -> Callable[[Path], None]:
        """What compares the finished file with the source, before it gets its name."""

        def verify(part: Path) -> None:
            self.verification = verify_output(reader, part, self.plan, writer.warnings)

        return verify

    def finished(self, source: Path, frames: int, clock: Clock) -> Report:
        """The report of a run that is over.

        Args:
            source: what was deblurred.
            frames: in the result.
            clock: where the time went.
        """
        seconds = time.perf_counter() - self._started
        return Report(
            source=source,
            target=self.plan.target,
            frames=frames,
            seconds=seconds,
            fps=frames / seconds,
            plan=self.plan,
            warnings=tuple(self.warnings),
            events=self.deblurrer.events,
            stage_seconds=dict(clock.seconds),
            bottleneck=clock.bottleneck,
            model=self.deblurrer.name,
            device=str(self.deblurrer.device),
            precision=self.deblurrer.precision,
            tile=self.deblurrer.tile or 0,
            engine=self.deblurrer.engine,
            verification=self.verification,
        )


def verify_output(
    reader: VideoReader, part: Path, plan: OutputPlan, said: Sequence[str]
) -> Verification:
    """Compare a finished file, which has not got its name yet, with its source.

    Args:
        reader: of the source.
        part: the file.
        plan: how it was written.
        said: lines in which its writer told what it lacks.

    Raises:
        OutputError: something is wrong.
    """
    try:
        found = verify_file(reader.path, part, plan, start=reader.start, end=reader.end, said=said)
    except InputError as err:
        raise OutputError(f"{plan.target}: cannot be read back ({err})") from err
    if not found.ok:
        faults = "; ".join(f"{row.what}: {row.detail}" for row in found.of("wrong"))
        raise OutputError(
            f"{plan.target}: failed the verification, so it did not get its name: {faults}"
        )
    return found


def expected_frames(info: VideoInfo, start: Fraction, end: Fraction | None) -> int | None:
    """How many frames a run will probably have; None where nothing says so."""
    whole = info.duration
    if start or end is not None:
        last = min(x for x in (end, whole) if x is not None) if (end or whole) else None
        return round((last - start) * info.rate) if last is not None and info.rate else None
    if info.frame_count:
        return info.frame_count
    return round(whole * info.rate) if whole and info.rate else None
