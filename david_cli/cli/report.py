"""`david report`: what became of a video, as one page; and what `david deblur --report` adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, options
from david_cli.cli.counter import Counter
from david_cli.cli.progress import View, print_line, stderr_console
from david_cli.cli.verify import DIFFERENT
from david_cli.errors import DavidError, InputError, OutputError, UsageError
from david_cli.files import missing

if TYPE_CHECKING:
    from david_cli.inference.report import Report as RunReport
    from david_cli.review.report import Pair
    from david_cli.review.report_data import Run

SUFFIXES = (".html", ".json")
"""What a report can be: for people, for programs."""
RECORDS = (".report.html", ".report.json")
"""What follows the name of a result in the names of its reports."""
NOT_RECORDED = (
    "The run was not recorded, so its settings, versions, speed and warnings are unknown; what is "
    "here was found by comparing the two files. `david deblur --report` records a run."
)


def report(
    result: Annotated[
        Path,
        typer.Argument(metavar="RESULT", help="The video that david made.", show_default=False),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="The video it was made of. Default: <name>.<ext> beside <name>.sharp.<ext>, or "
            "the file of the name that the run recorded.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The report to write: .html for people, .json for programs. Default: "
            "<name>.report.html beside RESULT.",
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="An earlier report of RESULT, for the settings and the speed of the run. Default: "
            "<name>.report.html or .json beside RESULT, where there is one.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TIME", help="Where RESULT begins in SOURCE."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Where RESULT ends in SOURCE.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            metavar="",
            help="Also compare everything but the sharpness, as `david verify` does; wrong rows "
            "make the exit code 8.",
        ),
    ] = False,
    as_json: options.JsonOption = False,
    yes: options.YesOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Show what became of a video, on one page for any browser.

    Frames before and after under a slider, sharpness over time, files, streams kept and lost,
    and what the run recorded of itself: settings, versions, speed, warnings. Only a run with
    `david deblur --report` records these; of any other the page shows what the files tell. The
    page is one file, loads nothing from anywhere, and can be printed.

    [bold]Examples[/bold]
      david report holiday.sharp.mp4
      david report sharp.mp4 --source holiday.mp4 --verify -o holiday.html
      david report part.mkv --source film.mkv --start 1:20 --end 1:45 --json
    """
    span = checks.parse_span(start, end)
    if as_json and output is not None:
        raise UsageError("--json prints; to write a file give -o a name that ends in .json")

    from david_cli.review.report import make_report, verification, write_report
    from david_cli.review.report_record import to_json

    run, remarks = _recorded(result, record)
    pair = _pair(result, source, run, span)
    target = default_report(result) if output is None else output
    if not as_json:
        _check_targets((target,), (pair.source, result), yes=yes, ask=True)
    findings = verification(pair) if verify else None
    with Counter("comparing", "frames", quiet=quiet) as counter:
        made = make_report(
            pair,
            run,
            findings=findings,
            remarks=remarks,
            on_frame=lambda done: counter.update(done, run.frames if run else None),
        )
    if as_json:
        typer.echo(to_json(made))
    else:
        write_report(target, made)
        if not quiet:
            print_line(stderr_console(), "", f"wrote {target}")
    if any(row.verdict == "wrong" for row in findings or ()):
        raise typer.Exit(DIFFERENT)


@dataclass(frozen=True)
class RunReports:
    """The reports that `david deblur` was asked for; none of them where it was not."""

    targets: tuple[Path, ...]
    source: Path
    result: Path
    span: tuple[Fraction | None, Fraction | None]
    model: str
    settings: Mapping[str, str]
    """What was asked for beside model, device and encoder, for a person."""

    @classmethod
    def of(
        cls, context: typer.Context, result: Path, span: tuple[Fraction | None, Fraction | None]
    ) -> RunReports:
        """Read the options of a run, and check before the work where its reports will go.

        Args:
            context: of `david deblur`.
            result: the video to be.
            span: its start and end in the source.

        Raises:
            UsageError: a pipe, which nobody can look at again, or a name of no report.
            OutputError: one exists and may not be replaced, or cannot be written.
        """
        given = context.params
        source, file = given["source"], given["report_file"]
        targets = (*(default_report(result),) * given["with_report"], *(file,) * (file is not None))
        if targets and checks.STANDARD in (source, result):
            raise UsageError("--report and --report-file read both files again: not through a pipe")
        if not given["dry_run"]:
            _check_targets(
                targets, (source, result), yes=given["yes"], ask=given["progress"] != "json"
            )
        settings = {
            "devices": given["devices"] or "",
            "overlap of tiles": f"{given['overlap']} pixels",
            "strength": f"{given['strength']:g}",
            "deinterlacing": given["deinterlace"],
            "part": _part(span) if any(span) else "",
        }
        return cls(targets, source, result, span, given["model"], settings)

    def write(self, run: RunReport | None, view: View) -> None:
        """At the end of a run, whose result is complete.

        Args:
            run: what it did; None where an earlier one had done it all.
            view: told what is going on.

        Raises:
            DavidError: of the kind of what went wrong; the result is there all the same.
        """
        if not self.targets:
            return
        from david_cli.review.report import Pair, make_report, run_of, write_report

        view.note("comparing frames for the report")
        pair = Pair(self.source, self.result, *self.span)
        verified = run.verification if run else None
        weights = run.model if run and self.model == "auto" else self.model
        try:
            made = make_report(
                pair,
                run_of(run, pair, weights, self.settings) if run else None,
                findings=verified.findings if verified else None,
                remarks=() if run else ("An earlier run made the result, and recorded nothing.",),
            )
            for target in self.targets:
                write_report(target, made)
                view.note(f"wrote {target}")
        except DavidError as err:
            raise type(err)(f"{self.result} is complete, but has no report: {err}") from err
        except KeyboardInterrupt:
            view.warn(f"{self.result} is complete, but has no report: 'david report' makes one")
            raise


def _part(span: tuple[Fraction | None, Fraction | None]) -> str:
    start, end = span
    last = f"to {float(end):g} s" if end is not None else "on"
    return f"from {float(start or 0):g} s {last}"


def default_report(result: Path) -> Path:
    """``<name>.report.html`` beside a result."""
    return result.with_name(result.stem + RECORDS[0])


def _recorded(result: Path, record: Path | None) -> tuple[Run | None, tuple[str, ...]]:
    """The run that made a result, and what is to be said of its record.

    Raises:
        InputError: the record that was asked for is none.
        UsageError: it is that of another file.
    """
    from david_cli.review.report_record import read_record

    if record is not None:
        run, size = read_record(record)
        if size != _size(result):
            raise UsageError(f"--record {record}: is about another file than {result}")
        return run, (f"The run is told as {record.name} recorded it.",)
    remarks = []
    for ending in RECORDS:
        place = result.with_name(result.stem + ending)
        if not place.is_file():
            continue
        try:
            run, size = read_record(place)
        except InputError as err:
            remarks.append(f"No record of the run: {err}.")
            continue
        if run is not None and size == _size(result):
            return run, (f"The run is told as {place.name} recorded it.",)
        if run is not None:
            remarks.append(f"{place.name} is about another file of that name, and was not used.")
    return None, (*remarks, NOT_RECORDED)


def _size(result: Path) -> int | None:
    """Bytes; None of a file that is not there, which its reader will say."""
    return result.stat().st_size if result.is_file() else None


def _pair(
    result: Path,
    source: Path | None,
    run: Run | None,
    span: tuple[Fraction | None, Fraction | None],
) -> Pair:
    from david_cli.review.report import Pair
    from david_cli.review.report_record import find_source

    found = find_source(result, run) if source is None else source
    if found is None and not result.exists():
        raise InputError(missing(result))
    if found is None:
        raise UsageError(f"nothing tells what {result} was made of: give --source")
    if run is not None and span == (None, None):
        span = run.start, run.end
    return Pair(found, result, *span)


def _check_targets(
    targets: Iterable[Path], videos: tuple[Path, Path], *, yes: bool, ask: bool
) -> None:
    """Refuse what no report can be written to.

    Raises:
        UsageError: neither .html nor .json.
        OutputError: a folder, in no folder, one of the videos, or there already.
    """
    for target in targets:
        if target.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{target}: a report is .html, for people, or .json, for programs")
        checks.check_output_file(target)
        if not target.absolute().parent.is_dir():
            raise OutputError(f"{target.parent}: no such folder; create it or choose another")
        for video in filter(Path.exists, videos):
            checks.refuse_own_input(video, target)
        checks.may_overwrite(target, yes=yes, ask=ask)
