"""A picture of a training's curves, drawn from its log.

Phases lie side by side, each as wide as it has steps, with loss, gain on the training samples,
learning rate and, where it was validated, gain on whole frames below each other. Matplotlib is the
extra ``plots``; nothing else in the package needs it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from david_cli.errors import InputError, UsageError
from david_cli.files import replace_file
from david_cli.training.log import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
LEAST_SHARE = 0.025
"""Part of the width that even the shortest phase gets, so that it can be seen and named."""
DOTS_PER_INCH = 110
UPRIGHT_NAMES = 4
"""Names of more phases than these are turned by a quarter."""
LOSS_NAMES = {
    "psnr": "loss (−PSNR, dB)",
    "l2": "loss (L2)",
    "charbonnier": "loss (Charbonnier)",
    "level": "loss (level)",
}
LEVEL_COLORS = ("#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#000000")
"""From light to heavy blur; distinct to all eyes (Okabe and Ito)."""


@dataclass(frozen=True)
class Span:
    """Where a phase lies on the common axis, in parts of the width."""

    phase: str
    loss: str
    steps: int
    """Taken so far."""
    left: float
    width: float

    def at(self, step: int) -> float:
        """Where a step lies."""
        return self.left + self.width * step / self.steps


def check_matplotlib() -> None:
    """Make sure that curves can be drawn, before hours of training.

    Raises:
        UsageError: matplotlib is missing.
    """
    if find_spec("matplotlib") is None:
        raise UsageError(
            "--curves needs matplotlib: pip install 'david-cli[plots]', or leave it out"
        )


def draw_curves(records: Sequence[Record], target: Path) -> None:
    """Draw a log into a PNG, SVG or PDF file, by its suffix; complete or not at all.

    Raises:
        InputError: the log holds no steps yet.
    """
    if not any(record["event"] == "step" for record in records):
        raise InputError(f"{target}: no step is in the log, so there are no curves to draw")
    picture = io.BytesIO()
    plot(records).savefig(picture, format=target.suffix[1:].lower(), dpi=DOTS_PER_INCH)
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, picture.getvalue())


def plot(records: Sequence[Record]) -> Figure:
    """The figure of a log that holds steps."""
    from matplotlib.figure import Figure

    spans = lay_out(records)
    losses = list(dict.fromkeys(span.loss for span in spans))
    validated = any(r["event"] == "validation" for r in records)
    rows = len(losses) + 2 + validated
    figure = Figure(figsize=(12, 1.2 + 2.1 * rows), layout="constrained")
    panels: list[Axes] = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for loss, panel in zip(losses, panels, strict=False):
        _draw_steps(panel, [s for s in spans if s.loss == loss], records, "loss")
        panel.set_ylabel(LOSS_NAMES.get(loss, loss))
    restoring = [s for s in spans if s.loss != "level"]  # that loss leaves pictures as they are
    _draw_steps(panels[len(losses)], restoring, records, "gain")
    panels[len(losses)].set_ylabel("gain on training\nsamples (dB)")
    _draw_steps(panels[len(losses) + 1], spans, records, "lr")
    panels[len(losses) + 1].set(ylabel="learning rate", yscale="log")
    if validated:
        _draw_validation(panels[-1], spans, records)
    _mark_phases(panels, spans)
    return figure


def lay_out(records: Sequence[Record]) -> list[Span]:
    """The phases that have steps, side by side, in the order in which they first began."""
    losses = {r["phase"]: r["training"]["loss"] for r in records if r["event"] == "phase"}
    steps: dict[str, int] = {}
    for record in records:
        if record["event"] == "step":
            steps[record["phase"]] = max(record["step"], steps.get(record["phase"], 0))
    least = min(LEAST_SHARE, 1 / (2 * max(1, len(steps)))) * sum(steps.values())
    wide = {name: max(count, least) for name, count in steps.items()}
    spans, left = [], 0.0
    for name, count in steps.items():
        width = wide[name] / sum(wide.values())
        spans.append(Span(name, losses.get(name, "psnr"), count, left, width))
        left += width
    return spans


def _draw_steps(panel: Axes, spans: Sequence[Span], records: Sequence[Record], name: str) -> None:
    for span in spans:
        own = [r for r in records if r["event"] == "step" and r["phase"] == span.phase]
        x, y = [span.at(r["step"]) for r in own], [r[name] for r in own]
        panel.plot(x, y, color="#0072b2", linewidth=1, marker="." if len(own) < 3 else None)
    if name == "gain":
        panel.axhline(0, color="0.6", linewidth=0.8)


def _draw_validation(panel: Axes, spans: Sequence[Span], records: Sequence[Record]) -> None:
    found = [r for r in records if r["event"] == "validation"]
    levels = sorted({name for r in found for name in r["gain"]}, key=_by_level)
    for level, color in zip(levels, LEVEL_COLORS * len(levels), strict=False):
        label = f"level {level}" if level.isdecimal() else level
        for span in spans:
            own = [r for r in found if r["phase"] == span.phase and level in r["gain"]]
            x, y = [span.at(r["step"]) for r in own], [r["gain"][level] for r in own]
            (line,) = panel.plot(x, y, color=color, linewidth=1, marker="o", markersize=3)
        line.set_label(label)
    panel.axhline(0, color="0.6", linewidth=0.8)
    panel.set_ylabel("gain on whole\nframes (dB)")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _mark_phases(panels: Sequence[Axes], spans: Sequence[Span]) -> None:
    """Lines between phases, their names above all panels and their steps below."""
    centres = [span.left + span.width / 2 for span in spans]
    turn = 90 if len(spans) > UPRIGHT_NAMES else 0
    for panel in panels:
        panel.grid(axis="y", color="0.9", linewidth=0.6)
        panel.set_xlim(0, 1)
        for span in spans[1:]:
            panel.axvline(span.left, color="0.75", linewidth=0.6)
        panel.tick_params(axis="x", length=0)
    names = panels[0].secondary_xaxis("top")
    names.set_xticks(centres, [span.phase for span in spans], rotation=turn, fontsize=8)
    names.tick_params(length=0)
    panels[-1].set_xticks(centres, [str(s.steps) for s in spans], rotation=turn, fontsize=8)
    panels[-1].set_xlabel("steps of each phase")


def _by_level(name: str) -> tuple[bool, int]:
    """Lightest blur first; gains of all levels together last."""
    return not name.isdecimal(), int(name) if name.isdecimal() else 0
