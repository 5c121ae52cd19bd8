"""`david doctor`: does everything work here, and what to do where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from david_cli import __version__
from david_cli.cli import options
from david_cli.cli.config_command import ConfigurableCommand
from david_cli.cli.config_files import NAME, read_configs
from david_cli.cli.wording import one_line
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from david_cli.diagnosis.finding import Finding

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""
MARKS = {"ok": "ok", "note": "note", "warning": "WARN", "problem": "FAIL"}
WIDTH = 17
"""Columns of the names."""


def doctor(
    context: typer.Context,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Check that everything david needs is here and works, and say what to do if not.

    Configuration, libraries, devices, weights, every encoder, disks, and a small clip deblurred
    from end to end. Made for pasting into a bug report: your home folder appears as ~. The exit
    code is 0 where all is well (notes and warnings included), else that of the first problem.

    [bold]Examples[/bold]
      david doctor
      david doctor --json
    """
    from david_cli.diagnosis import checkup
    from david_cli.diagnosis.finding import worst

    def check_configuration() -> list[Finding]:
        return [_configuration(context)]

    found: list[Finding] = []
    if not as_json:
        typer.echo(f"david doctor {__version__}")
    for finding in checkup.examine({"configuration": (check_configuration,), **checkup.CHECKS}):
        if not as_json:
            for line in lines(finding, is_first=finding.topic not in {f.topic for f in found}):
                typer.echo(line)
        found.append(finding)
    code = worst(found)
    if as_json:
        facts = {"ok": code == 0, "exit_code": code, "findings": [asdict(f) for f in found]}
        typer.echo(json.dumps({"schema": SCHEMA, "david": __version__, **facts}, indent=2))
    else:
        typer.echo(f"\n{summary(found, code)}")
    raise typer.Exit(code)


def _configuration(context: typer.Context) -> Finding:
    """The files that the other commands read, too, and go by."""
    from david_cli.diagnosis.finding import Finding

    command = context.command
    assert isinstance(command, ConfigurableCommand)
    try:
        paths = [str(file.path) for file in read_configs(command.words)]
    except UsageError as err:
        advice = "correct it: till then no command runs but this one"
        return Finding(NAME, "problem", str(err), advice, err.exit_code)
    return Finding(NAME, "ok", ", ".join(paths) or "none", facts={"files": paths})


def lines(finding: Finding, *, is_first: bool) -> list[str]:
    """A finding in text, under the heading of its topic if it is the first one there."""
    heading = ["", finding.topic] if is_first else []
    rows = [f"  {MARKS[finding.status]:<5}{finding.name:<{WIDTH}} {one_line(finding.what)}"]
    if finding.advice:
        rows.append(f"  {'':<5}{'':<{WIDTH}} -> {one_line(finding.advice)}")
    return heading + rows


def summary(found: Iterable[Finding], code: int) -> str:
    """E.g. ``2 problems, 1 warning: exit code 5``."""
    statuses = [finding.status for finding in found]
    problems, warnings = statuses.count("problem"), statuses.count("warning")
    counts = [
        f"{number} {word}" + ("" if number == 1 else "s")
        for number, word in ((problems, "problem"), (warnings, "warning"))
        if number
    ]
    if problems:
        return f"{', '.join(counts)}: exit code {code}; what to do stands after ->"
    return f"all is well, {counts[0]}" if counts else "all is well"
