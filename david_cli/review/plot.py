"""Sharpness over time as a picture, and xPSNR below it where there is a reference.

Matplotlib is the extra ``plots``; nothing else here needs it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from david_cli.errors import UsageError
from david_cli.files import replace_file
from david_cli.review.measure import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
DOTS_PER_INCH = 110
COLORS = ("#d55e00", "#0072b2")
"""Of A and of B; distinct to all eyes (Okabe and Ito)."""


def check_plot(target: Path) -> None:
    """Make sure that a plot can be drawn, before the work.

    Raises:
        UsageError: of another suffix, or matplotlib is missing.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {target}: plots are written as {', '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs matplotlib: pip install 'david-cli[plots]', or use --csv instead"
        )


def draw_plot(points: Sequence[Point], names: Sequence[str], target: Path) -> None:
    """Draw into a PNG, SVG or PDF file, by its suffix; complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    picture = io.BytesIO()
    plot(points, names).savefig(picture, format=target.suffix[1:].lower(), dpi=DOTS_PER_INCH)
    replace_file(target, picture.getvalue())


def plot(points: Sequence[Point], names: Sequence[str]) -> Figure:
    """The figure of at least one point."""
    from matplotlib.figure import Figure

    pairs = [point.quality for point in points if point.quality is not None]
    rows = 2 if pairs else 1
    figure = Figure(figsize=(9, 1 + 3 * rows), layout="constrained")
    panels: list[Axes] = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    times = [float(point.time) for point in points]
    _draw(panels[0], times, [point.sharpness for point in points], names)
    panels[0].set(ylabel="sharpness (higher is sharper)")
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    if pairs:
        _draw(panels[1], times, [(one.xpsnr, two.xpsnr) for one, two in pairs], names)
        panels[1].set(ylabel="xPSNR to the reference (dB)")
    panels[-1].set(xlabel="time (seconds)")
    return figure


def _draw(
    panel: Axes,
    times: Sequence[float],
    pairs: Sequence[tuple[float, float]],
    names: Sequence[str],
) -> None:
    """Both lines, and what lies between them in the colour of the upper one."""
    a, b = ([pair[i] for pair in pairs] for i in (0, 1))
    for values, name, color in zip((a, b), names, COLORS, strict=True):
        marker = "o" if len(values) == 1 else None
        panel.plot(times, values, color=color, label=_plain(name), linewidth=1.6, marker=marker)
    for sign, color in zip((-1, 1), COLORS, strict=True):
        above = [sign * (two - one) >= 0 for one, two in pairs]
        panel.fill_between(
            times, a, b, where=above, interpolate=True, color=color, alpha=0.12, linewidth=0
        )
    panel.grid(axis="y", color="0.9", linewidth=0.6)
    panel.margins(x=0.01)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _plain(name: str) -> str:
    """A file's name as it is: Matplotlib reads formulas, and hides what begins with a line."""
    return (f" {name}" if name[0] == "_" else name).replace("$", r"\$")
