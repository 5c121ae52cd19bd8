"""The sentences of the command line, and the facts behind them as JSON has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from david_cli.inference.deblurrer import Deblurrer
    from david_cli.video.streams import OutputPlan
    from david_cli.video.verify import Verification


class Progress(Protocol):
    """How far a run is, as the video pipeline and the folder of frames both tell it."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def fps(self) -> float: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def eta(self) -> float | None: ...
    @property
    def bottleneck(self) -> str: ...
    @property
    def stage_seconds(self) -> Mapping[Any, float]: ...


class Setup(Protocol):
    """What works on the frames: a deblurrer, or what another process says of its own."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> object: ...
    @property
    def engine(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def tile(self) -> int | None: ...


@dataclass(frozen=True)
class Summary:
    """What a finished command has to say."""

    target: str
    frames: int
    seconds: float
    fps: float
    bottleneck: str
    stage_seconds: Mapping[Any, float]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Lines that only ``--quiet`` leaves out."""
    details: tuple[str, ...] = ()
    """Lines that ``--verbose`` adds."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the JSON ``done`` event."""


def one_line(text: str) -> str:
    """`text` on one line, with what a terminal would obey (escapes in file names) made visible."""
    return "".join(
        letter if letter.isprintable() else " " if letter == "\n" else ascii(letter)[1:-1]
        for letter in text
    )


def headline(deblurrer: Setup) -> str:
    """What works on the frames, e.g. ``david-lite on cpu, fp32, tiles of 512``."""
    tile = f"tiles of {deblurrer.tile}" if deblurrer.tile else "whole frames"
    by = "" if deblurrer.engine == "torch" else f" by {deblurrer.engine}"
    return f"{deblurrer.name} on {deblurrer.device}{by}, {deblurrer.precision}, {tile}"


def deblurrer_facts(deblurrer: Deblurrer) -> dict[str, object]:
    """The same for JSON."""
    return {
        "model": deblurrer.name,
        "device": str(deblurrer.device),
        "precision": deblurrer.precision,
        "engine": deblurrer.engine,
        "tile": deblurrer.tile,
    }


def plan_facts(plan: OutputPlan) -> dict[str, object]:
    """What will be written, for JSON."""
    return {
        "target": str(plan.target),
        "container": plan.container,
        "codec": plan.codec,
        "encoder": plan.encoder,
        "pix_fmt": plan.pix_fmt,
        "kept": list(plan.kept),
        "losses": list(plan.losses),
        "notes": list(plan.notes),
    }


def known_total(progress: Progress) -> int | None:
    """The total, unless the container's claim has turned out to be too small."""
    total = progress.total
    return total if total and progress.done <= total else None


def plain_line(progress: Progress) -> str:
    """E.g. ``240/600 frames (40%), 3.2 fps, 1:52 left, limited by the network``."""
    total = known_total(progress)
    parts = [f"{count(progress)} frames" + (f" ({progress.done / total:.0%})" if total else "")]
    parts.append(fps(progress.fps))
    if progress.eta is not None:
        parts.append(f"{countdown(progress.eta)} left")
    return ", ".join([*parts, f"limited by {_stage(progress.bottleneck)}"])


def final_line(summary: Summary, warnings: int) -> str:
    """E.g. ``wrote b.mp4: 600 frames in 3:07 (3.2 fps), limited by the network, 1 warning``."""
    frames = "1 frame" if summary.frames == 1 else f"{summary.frames} frames"
    parts = [f"{frames} in {duration(summary.seconds)} ({fps(summary.fps)})"]
    if summary.bottleneck:
        parts.append(f"limited by {_stage(summary.bottleneck)}")
    if warnings:
        parts.append("1 warning" if warnings == 1 else f"{warnings} warnings")
    return f"wrote {summary.target}: " + ", ".join(parts)


def stage_line(stage_seconds: Mapping[Any, float]) -> str:
    """E.g. ``busy: decode 3.1 s, network 180.2 s, encode 20.9 s``."""
    return "busy: " + ", ".join(f"{name} {spent:.1f} s" for name, spent in stage_seconds.items())


def duration(seconds: float) -> str:
    """``12.3 s`` below a minute, else ``M:SS`` or ``H:MM:SS``."""
    return f"{seconds:.1f} s" if seconds < 59.95 else countdown(seconds)


def countdown(seconds: float) -> str:
    """``M:SS`` or ``H:MM:SS``."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def verdict_line(verification: Verification) -> str:
    """E.g. ``verified: 14 kept, 2 lost, 0 wrong``."""
    counts = (
        f"{len(verification.of('kept'))} kept",
        f"{len(verification.of('lost'))} lost",
        f"{len(verification.of('wrong'))} wrong",
    )
    return f"verified: {', '.join(counts)}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the columns two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return [line.rstrip() for line in lines]


def listing(names: Iterable[object], shown: int = 3) -> str:
    """The first few of many names: ``a, b, c and 4 more``."""
    words = [str(name) for name in names]
    more = len(words) - shown
    return ", ".join(words[:shown]) + (f" and {more} more" if more > 0 else "")


def count(progress: Progress) -> str:
    total = known_total(progress)
    return f"{progress.done}/{total}" if total else f"{progress.done}"


def fps(fps: float) -> str:
    """Enough digits for a tenth of a frame a second and for a hundred."""
    return f"{fps:.2f} fps" if fps < 9.95 else f"{fps:.0f} fps"


def _stage(bottleneck: str) -> str:
    return {"network": "the network", "decode": "decoding", "encode": "encoding"}.get(
        bottleneck, bottleneck
    )
