"""Sharpness over time as an inline SVG, with its text around it as HTML.

The drawing is stretched to whatever width there is, lines keep their width, and the text its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from david_cli.review.report_data import Moment, Point

WIDTH, HEIGHT = 1000, 300
"""Units of the drawing, before it is stretched."""
LEAST_SPAN = 0.1
"""Sharpness, of 0 to 1, that the axis covers at least: less would make noise look like news."""
TICKS = 4
"""Steps of an axis, about."""


def plot(points: Sequence[Point], moments: Sequence[Moment]) -> str:
    """Both lines, the axes, and a numbered mark for each moment that leads to its pictures.

    Args:
        points: in the order of their times, at least one.
        moments: of the points.
    """
    rows = _ticks(*_range([value for p in points for value in (p.before, p.after)]))
    across = _scale(0.0, float(points[-1].time), WIDTH)
    down = _scale(rows[-1], rows[0], HEIGHT)
    times = [across(float(p.time)) for p in points]
    marks = [across(float(shown.point.time)) for shown in moments]
    drawn = (
        *(_line("grid", 0, down(row), WIDTH, down(row)) for row in rows),
        *(_line("mark", place, 0, place, HEIGHT) for place in marks),
        _path("before", list(zip(times, (down(p.before) for p in points), strict=True))),
        _path("after", list(zip(times, (down(p.after) for p in points), strict=True))),
    )
    written = (
        *(_label("y", "top", down(row) / HEIGHT, f"{row:g}") for row in rows),
        *(_label("x", "left", across(t) / WIDTH, clock(t)) for t in _times(points[-1])),
        *(_link(number, place / WIDTH) for number, place in enumerate(marks, 1)),
    )
    return (
        f'{_LEGEND}<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'preserveAspectRatio="none" aria-label="Sharpness over time, of source and result">'
        f"{''.join(drawn)}</svg>{''.join(written)}</div>"
    )


def clock(seconds: float) -> str:
    """``1.5 s`` below a minute, else ``M:SS`` or ``H:MM:SS``."""
    if seconds < 60:
        return f"{round(seconds, 2):g} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


_LEGEND = (
    '<div class="legend" aria-hidden="true">'
    + "".join(
        f'<span><svg viewBox="0 0 32 12"><path class="{kind}" d="M0 6H32"/></svg>{text}</span>'
        for kind, text in (("before", "source"), ("after", "result"))
    )
    + "</div>"
)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the least to the most, but never so near that next to nothing looks like a lot."""
    least, most = min(values), max(values)
    missing = max(0.0, LEAST_SPAN - (most - least)) / 2
    return max(0.0, least - missing), min(1.0, most + missing)


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers, evenly spread, the first at or below the least and the last not below most."""
    span = most - least if most > least else max(abs(most), 1e-3)
    rough = span / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(least / step)
    last = max(first + 1, math.ceil(most / step - 1e-9))
    return [round(number * step, 12) for number in range(first, last + 1)]


def _scale(least: float, most: float, length: int) -> Callable[[float], float]:
    """Of a value, the place along an axis."""
    span = most - least
    return lambda value: (value - least) / span * length if span else length / 2


def _line(kind: str, *ends: float) -> str:
    x1, y1, x2, y2 = (f"{end:.1f}" for end in ends)
    return f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _path(kind: str, places: Sequence[tuple[float, float]]) -> str:
    if len(places) == 1:  # a line of no length shows nothing
        places = [(0, places[0][1]), (WIDTH, places[0][1])]
    return f'<path class="{kind}" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) + '"/>'


def _label(axis: str, edge: str, place: float, text: str) -> str:
    return f'<span class="{axis}" style="{edge}:{place:.2%}">{text}</span>'


def _link(number: int, place: float) -> str:
    """To the pictures of a moment."""
    return (
        f'<a href="#moment-{number}" style="left:{place:.2%}" '
        f'aria-label="Pictures of moment {number}">{number}</a>'
    )


def _times(last: Point) -> list[float]:
    """Seconds to write under the plot: round ones, in the unit that fits."""
    length = float(last.time)
    unit = 1 if length < 120 else 60 if length < 7200 else 3600
    return [unit * tick for tick in _ticks(0.0, length / unit) if unit * tick <= length]
