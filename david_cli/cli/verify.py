"""`david verify`: whether a result is what its source was, only sharper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, options
from david_cli.cli.wording import one_line, verdict_line

if TYPE_CHECKING:
    from david_cli.video.verify import Verification

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""
DIFFERENT = 8
"""The documented exit code for a result with something wrong in it."""


def verify(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The video as it was.", show_default=False)
    ],
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="What was made of it.", show_default=False)
    ],
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TIME", help="Where RESULT begins in SOURCE."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Where RESULT ends in SOURCE.")
    ] = None,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Compare a result with its source: everything but the sharpness of the picture.

    Both are decoded to their ends. Each row is kept, lost (the container or the codec of
    RESULT cannot hold it) or wrong. Wrong rows make the exit code 8.

    [bold]Examples[/bold]
      david verify holiday.mp4 holiday.sharp.mp4
      david verify film.mkv part.mkv --start 1:20 --end 1:45 --json
    """
    span = checks.parse_span(start, end)

    from david_cli.video.verify import verify_file

    verification = verify_file(source, result, start=span[0], end=span[1])
    if as_json:
        typer.echo(json.dumps(_facts(source, result, verification), indent=2))
    else:
        for line in _table(verification):
            typer.echo(one_line(line))
    if not verification.ok:
        raise typer.Exit(DIFFERENT)


def _facts(source: Path, result: Path, verification: Verification) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "source": str(source),
        "result": str(result),
        "ok": verification.ok,
        "findings": [
            {"what": row.what, "verdict": row.verdict, "detail": row.detail}
            for row in verification.findings
        ],
    }


def _table(verification: Verification) -> list[str]:
    rows = verification.findings
    width = max(len(row.what) for row in rows)
    lines = [f"{row.verdict:<5}  {row.what:<{width}}  {row.detail}" for row in rows]
    return [*lines, verdict_line(verification)]
