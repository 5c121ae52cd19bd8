"""The tables of a page: files, streams, speed, events, versions, verification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from david_cli.review.page_words import duration, escaped, fps, listed, size, stage, table
from david_cli.review.report_data import FileFacts, Report, Run
from david_cli.video.comparison import Finding, Verdict

_CLASSES: dict[Verdict, str] = {"kept": "good", "lost": "warn", "wrong": "bad"}
_ORDER: tuple[Verdict, ...] = ("wrong", "lost", "kept")


def files(source: FileFacts, result: FileFacts) -> str:
    """Both files, side by side."""
    rows = zip(_file_rows(source), _file_rows(result), strict=True)
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{escaped(before)}</td><td>{escaped(after)}</td></tr>'
        for (name, before), (_, after) in rows
        if before or after
    )
    head = '<th></th><th scope="col">source</th><th scope="col">result</th>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _file_rows(file: FileFacts) -> list[tuple[str, str]]:
    turned = f", rotated by {file.rotation} degrees" if file.rotation else ""
    return [
        ("name", file.name),
        ("size", size(file.bytes)),
        ("container", _container(file)),
        ("codec", file.codec),
        ("picture", f"{file.width} x {file.height}{turned}"),
        ("pixel format", file.pixel_format + (", HDR" if file.hdr else "")),
        ("frame rate", f"{file.rate:.4g} fps" if file.rate else ""),
        ("length", duration(file.seconds) if file.seconds else ""),
        ("bit rate", f"{file.bit_rate / 1000:.0f} kbit/s" if file.bit_rate else ""),
    ]


def _container(file: FileFacts) -> str:
    """FFmpeg's name; of several that one demuxer has, the one that the file has too."""
    names = file.container.split(",")
    own = Path(file.name).suffix[1:].lower()
    return own if own in names else names[0]


def streams(report: Report) -> str:
    """What came over beside the picture, what did not, and what there is now."""
    return (
        f"<h3>Kept</h3>{listed(report.kept) or '<p>Nothing was beside the picture.</p>'}"
        f"<h3>Lost</h3>{listed(report.losses) or '<p>Nothing.</p>'}"
        f"<h3>In the result</h3>{listed(report.result.streams)}"
    )


def speed(run: Run) -> str:
    """All together, and each stage's share; stages work side by side, so the longest decides."""
    longest = max(run.stage_seconds.values(), default=0.0) or 1.0
    body = "".join(
        f'<tr><th scope="row">{escaped(name)}</th><td class="number">{duration(spent)}</td>'
        f'<td class="number">{1000 * spent / max(run.done, 1):.1f} ms</td>'
        f'<td><div class="bar"><i class="{"most" if name == run.bottleneck else ""}" '
        f'style="width:{100 * spent / longest:.1f}%"></i></div></td></tr>'
        for name, spent in sorted(run.stage_seconds.items(), key=lambda stage: -stage[1])
    )
    head = '<th></th><th scope="col">busy</th><th scope="col">per frame</th><th></th>'
    earlier = f" An earlier run had done the other {run.frames - run.done}." * (
        run.done < run.frames
    )
    limit = f", limited by {escaped(stage(run.bottleneck))}" if run.bottleneck else ""
    return (
        f"<p>{run.done} frames in {duration(run.seconds)}: {fps(run.fps)}{limit}.{earlier}</p>"
        f'<table class="speed"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        '<p class="quiet">Stages work at the same time, so their seconds may add up to more than '
        "the whole.</p>"
    )


def events(run: Run) -> str:
    """What was repaired, what was noted and what was warned of."""
    parts = (("Guard", run.guard.lines()), ("Warnings", run.warnings), ("Notes", run.notes))
    nothing = {
        "Guard": "Every result was sound: none was computed again or replaced by its source.",
        "Warnings": "None.",
        "Notes": "None.",
    }
    return "".join(
        f"<h3>{name}</h3>{listed(lines) or f'<p>{nothing[name]}</p>'}" for name, lines in parts
    )


def versions(report: Report) -> str:
    """Of the run; and of the report where others made it."""
    if report.run is None:
        return f"<p>Of this report; those of the run are not recorded.</p>{table(report.maker)}"
    if report.run.versions == report.maker:
        return table(report.maker)
    return (
        f"<h3>Of the run</h3>{table(report.run.versions)}"
        f"<h3>Of this report</h3>{table(report.maker)}"
    )


def verification(findings: Sequence[Finding] | None) -> str:
    """Its rows, the worst first, or how to get them."""
    if findings is None:
        return (
            "<p>Nobody asked for one. <code>david deblur --verify</code>, or "
            "<code>david report --verify</code> afterwards, decodes both files and compares all "
            "that david promises to keep.</p>"
        )
    counts = Counter(row.verdict for row in findings)
    total = ", ".join(
        f'<span class="{_CLASSES[verdict] * (counts[verdict] > 0)}">{counts[verdict]} {verdict}'
        "</span>"
        for verdict in reversed(_ORDER)
    )
    body = "".join(
        f'<tr><td class="verdict {_CLASSES[row.verdict]}">{row.verdict}</td>'
        f"<td>{escaped(row.what)}</td><td>{escaped(row.detail)}</td></tr>"
        for row in sorted(findings, key=lambda row: _ORDER.index(row.verdict))
    )
    return f"<p>{total}</p><table><tbody>{body}</tbody></table>"
