"""A report as one HTML file that needs nothing else: no network, no other file, no library.

Every text of the report goes through `escaped`: file names, titles of streams and metadata were
written by anybody. The page's content security policy forbids whatever would slip through.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from string import Template

from david_cli.review import page_tables as tables
from david_cli.review.page_plot import plot
from david_cli.review.page_words import duration, escaped, fps, stage, table
from david_cli.review.report_data import Moment, Report, Views
from david_cli.review.report_record import ELEMENT, to_json
from david_cli.review.wording import clock

_TEMPLATE = Path(__file__).with_name("template.html")
_SCRIPT = """
for (const pair of document.querySelectorAll('.pair')) {
  const range = pair.querySelector('input');
  const show = () => pair.style.setProperty('--split', range.value + '%');
  range.addEventListener('input', show);
  for (const view of pair.querySelectorAll('.view')) {
    const follow = event => {
      if (event.buttons !== 1) return;
      const box = view.getBoundingClientRect();
      range.value = 100 * (event.clientX - box.left) / box.width;
      show();
    };
    view.addEventListener('pointerdown', follow);
    view.addEventListener('pointermove', follow);
  }
  show();
}
"""


def page(report: Report) -> str:
    """The whole file."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=f"{escaped(report.result.name)} - david report",
        heading=escaped(report.result.name),
        lead=f"made from {escaped(report.source.name)} by david",
        remarks="".join(f'<p class="quiet">{escaped(line)}</p>' for line in report.remarks),
        tiles="\n".join(_tiles(report)),
        sections="\n".join(_sections(report)),
        footer=_footer(report),
        record_id=ELEMENT,
        record=to_json(report).replace("<", "\\u003c"),
        script=_SCRIPT,
        script_hash=f"sha256-{digest}",
    )


def _tiles(report: Report) -> Iterable[str]:
    """The numbers that one looks for first."""
    before, after = (_median(report, name) for name in ("before", "after"))
    run = report.run
    if run:
        yield _tile(f"{run.frames}", "frame" if run.frames == 1 else "frames")
        yield _tile(duration(run.seconds), "run time")
        yield _tile(fps(run.fps), f"limited by {stage(run.bottleneck)}" if run.bottleneck else "")
    yield _tile(_gain(before, after), "median sharpness")
    lost = len(report.losses)
    yield _tile(f"{lost}", "thing lost" if lost == 1 else "things lost", "warn" if lost else "good")
    if run:
        said = len(run.guard.lines()) + len(run.warnings) + len(run.notes)  # as on the terminal
        yield _tile(f"{said}", "warning" if said == 1 else "warnings", "warn" if said else "good")
    if report.findings is not None:
        wrong = sum(row.verdict == "wrong" for row in report.findings)
        yield _tile(
            f"{wrong} wrong" if wrong else "passed", "verification", "bad" if wrong else "good"
        )


def _sections(report: Report) -> Iterable[str]:
    run = report.run
    pairs = (_pair(number, shown) for number, shown in enumerate(report.moments, 1))
    yield _section("Before and after", "".join(pairs))
    yield _section("Sharpness over time", _sharpness(report))
    files = _section("Files", tables.files(report.source, report.result))
    streams = _section("Streams", tables.streams(report))
    versions = _section("Versions", tables.versions(report))
    if run is None:
        yield _columns(files, streams) + versions
    else:
        yield _columns(_section("Settings", table(run.settings, "settings")), files)
        yield _columns(streams, _section("Speed", tables.speed(run)))
        yield _columns(_section("Guard and warnings", tables.events(run)), versions)
    yield _section("Verification", tables.verification(report.findings))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _columns(*sections: str) -> str:
    return f'<div class="columns">{"".join(sections)}</div>'


def _tile(number: str, meaning: str, kind: str = "") -> str:
    return (
        f'<li><strong class="{kind}">{escaped(number)}</strong><span>{escaped(meaning)}</span></li>'
    )


def _pair(number: int, shown: Moment) -> str:
    """A moment: the whole picture and its detail, both under one slider."""
    point = shown.point
    when = f"frame {point.number} at {clock(point.time)}"
    change = f"sharpness {point.before:.2f} → {point.after:.2f}"
    left, top, width, height = (f"{100 * part:.2f}%" for part in shown.place)
    spot = f'<i class="spot" style="left:{left};top:{top};width:{width};height:{height}"></i>'
    ratios = _ratio(shown.whole) + _ratio(shown.detail)
    whole = _view(shown.whole, when, spot)
    detail = _view(shown.detail, f"detail of {when}")
    why = escaped(" and ".join(shown.reasons))
    return (
        f'<figure class="pair" id="moment-{number}"><figcaption><strong>{number}. '
        f'{why[0].upper()}{why[1:]}</strong><br><span class="quiet">{when}, {change}</span>'
        f'</figcaption><div class="views" style="--ratios:{ratios:.4f}">{whole}{detail}</div>'
        f'<input type="range" min="0" max="100" value="50" '
        f'aria-label="How much of {when} shows the source, in percent"></figure>'
    )


def _view(views: Views, what: str, more: str = "") -> str:
    """Both pictures on top of each other."""
    images = "".join(
        f'<img class="{kind}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}" '
        f'width="{views.width}" height="{views.height}" alt="{name}: {what}" draggable="false">'
        for kind, name, data in (
            ("result", "Result", views.after),
            ("source", "Source", views.before),
        )
    )
    labels = "<b>Source</b><b>Result</b>"
    return f'<div class="view" style="--ratio:{_ratio(views):.4f}">{images}{more}{labels}</div>'


def _ratio(views: Views) -> float:
    return views.width / views.height


def _sharpness(report: Report) -> str:
    before, after = (_median(report, name) for name in ("before", "after"))
    count = len(report.points)
    share = "" if count == _frames(report) else f", measured in {count} frames"
    better = sum(point.after > point.before for point in report.points)
    return (
        plot(report.points, report.moments)
        + f"<p>Median {before:.3f} in the source, {after:.3f} in the result "
        f"({_gain(before, after)}){share}; the result is sharper in {better} of {count}.</p>"
        '<p class="quiet">How steep edges are, from 0 to 1, measured without knowing the truth: '
        "it tells the frames of one clip apart, and rewards noise and halos as well as detail. "
        "Look at the pictures.</p>"
    )


def _footer(report: Report) -> str:
    return (
        f"Made on {escaped(report.made)} by david {escaped(report.maker['david'])}. This file "
        "holds all it shows, and the same as JSON; it loads nothing from anywhere."
    )


def _median(report: Report, name: str) -> float:
    return median(float(getattr(point, name)) for point in report.points)


def _frames(report: Report) -> int:
    return report.run.frames if report.run else report.points[-1].number


def _gain(before: float, after: float) -> str:
    return f"{100 * (after / before - 1):+.1f} %" if before else "unknown"
