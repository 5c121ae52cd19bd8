"""The options that commands share, as Annotated aliases: of the run itself and its reports.

Those of the network are in ``network_options``, those of the encoder in ``encoding_options``. Only
Typer is imported there and here: `david --help` must neither wait for torch nor for av. Values
that are more than a word (a time, a tile, ``key=value``) reach the command as text; ``checks``
reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from david_cli.cli.presets import PRESETS

ProgressMode = Literal["auto", "bar", "plain", "json", "none"]

WORK_PANEL = "Long runs"
REPORT_PANEL = "Reporting"

EXIT_CODES = """\
[bold]Exit codes[/bold]
  0    done
  1    any other failure
  2    usage: an invalid option or combination
  3    input: missing, damaged, or no picture in it
  4    output: exists, unwritable, or --verify fails
  5    model: unknown, damaged, or of another network
  6    device: absent, or out of memory
  7    batch: some of the videos failed
  8    verify: the result is not what its source was
  130  stopped by Ctrl-C (143 by SIGTERM)
  141  nobody reads `-o -` any more"""


def _complete_presets(incomplete: str) -> list[str]:
    return [name for name in PRESETS if name.startswith(incomplete)]


StartOption = Annotated[
    str | None,
    typer.Option(
        "--start", metavar="TIME", help="Begin here: seconds or [HH:]MM:SS. Sound follows."
    ),
]
EndOption = Annotated[
    str | None, typer.Option("--end", metavar="TIME", help="Stop before this time of IN.")
]

PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Several options under one word: fast, balanced, best, archive, or one of yours; "
        "`david config presets` says what they set. Options beside it win.",
        autocompletion=_complete_presets,
    ),
]

SegmentOption = Annotated[
    int | None,
    typer.Option(
        "--segment",
        min=0,
        show_default=False,
        metavar="FRAMES",
        help="Frames of a segment, the unit in which work is kept; 0 does all in one piece. By "
        "default long runs are cut into segments of about a minute.",
        rich_help_panel=WORK_PANEL,
    ),
]
FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh",
        metavar="",
        help="Forget what an interrupted run has finished, and start over.",
        rich_help_panel=WORK_PANEL,
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        metavar="",
        help="Only say what would be kept and lost, and what it would take: time, from a short "
        "trial, memory and disk.",
        rich_help_panel=WORK_PANEL,
    ),
]
PlanArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PLAN", help="The plan.json that `david plan` made.", show_default=False
    ),
]

YesOption = Annotated[
    bool,
    typer.Option("--yes", "-y", metavar="", help="Overwrite what is there without asking."),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify",
        metavar="",
        help="Decode the finished file and compare it with its source before it gets its name: "
        "frames, times, colours, sound and all the rest. What fails is an error (4) and leaves no "
        "file.",
    ),
]
ReportOption = Annotated[
    bool,
    typer.Option(
        "--report",
        metavar="",
        help="Also write <name>.report.html beside OUT: frames before and after, sharpness over "
        "time, settings, versions, speed, what was kept and lost.",
        rich_help_panel=REPORT_PANEL,
    ),
]
ReportFileOption = Annotated[
    Path | None,
    typer.Option(
        "--report-file",
        metavar="FILE",
        help="Write the report there: .html for people, .json for programs.",
        rich_help_panel=REPORT_PANEL,
    ),
]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        show_default=False,
        metavar="MODE",
        help="auto, bar, plain, json or none. auto is a bar on a terminal, else one plain "
        "line every ten seconds; json writes one object a line to standard output.",
        rich_help_panel=REPORT_PANEL,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        metavar="",
        help="Print warnings and errors only.",
        rich_help_panel=REPORT_PANEL,
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        metavar="",
        help="Also say what was kept, how it was encoded and where the time went.",
        rich_help_panel=REPORT_PANEL,
    ),
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug", metavar="", help="Print the traceback of an error.", rich_help_panel=REPORT_PANEL
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON object instead.")
]
