"""`david preview`: a few moments of a video, deblurred in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, network_options, options
from david_cli.cli.progress import View
from david_cli.cli.wording import aligned, one_line
from david_cli.errors import UsageError
from david_cli.network.shipped import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from david_cli.review.preview import Preview
    from david_cli.review.shown import Shown

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""
SHEET = ".png"


def preview(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="The video to look at.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="SHEET.png",
            help="The sheet to write. Default: <name>.preview.png beside IN.",
        ),
    ] = None,
    yes: options.YesOption = False,
    preset: options.PresetOption = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Show this moment (83.5 or 1:23.5) instead. May be repeated.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", metavar="", help="Open the sheet when it is there.")
    ] = False,
    model: network_options.ModelOption = "auto",
    device: network_options.DeviceOption = "auto",
    precision: network_options.PrecisionOption = "auto",
    engine: network_options.EngineOption = "auto",
    tile: network_options.TileOption = "auto",
    overlap: network_options.OverlapOption = DEFAULT_OVERLAP,
    strength: network_options.StrengthOption = 1.0,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """See what david makes of a video before waiting for all of it.

    Looks at frames all over the video, picks the blurriest, the fastest-moving and a typical one,
    and deblurs only these, with their neighbours, as `david deblur` would. The sheet shows source
    and result side by side and enlarged where they differ most. The last line says how long the
    whole video will take.

    [bold]Examples[/bold]
      david preview holiday.mp4
      david preview holiday.mp4 -o look.png --at 0:12 --at 1:03.5
      david preview holiday.mp4 --model david --strength 0.7 --open
    """
    times = [time for text in at or () if (time := checks.parse_time("--at", text)) is not None]
    tile_size = checks.parse_tile(tile)
    checks.parse_strength(strength)
    target = sheet_target(source, output, "preview")
    checks.refuse_own_input(source, target)

    from david_cli.video.reader import read_info

    read_info(source)  # what is no video fails before anything is asked or loaded
    check_place(target, yes=yes)

    from david_cli.drawing import write_sheet
    from david_cli.inference.loading import load_deblurrer
    from david_cli.review.preview import preview as look

    view = View(quiet=quiet)
    deblurrer = load_deblurrer(
        model, device=device, precision=precision, tile=tile_size, overlap=overlap, engine=engine
    )
    found = look(source, deblurrer, times, strength=strength, on_step=view.note)
    for line in found.notes:
        view.warn(line)
    write_sheet(target, found.sheet())
    typer.echo(json.dumps(_facts(found, target), indent=2) if as_json else _text(found))
    view.note(f"wrote {target}")
    if show:
        open_picture(target, view)


def sheet_target(source: Path, output: Path | None, kind: str) -> Path:
    """Where a sheet goes: ``-o``, or ``<name>.<kind>.png`` beside the video.

    Raises:
        UsageError: it is no PNG, or the video comes through a pipe.
        OutputError: it is a folder.
    """
    if source == checks.STANDARD:
        raise UsageError(f"david {kind} jumps to and fro in its video: give a file, not -")
    checks.check_output_file(output)
    if output is not None and output.suffix.lower() != SHEET:
        raise UsageError(f"-o {output}: a sheet is written as {SHEET}; give such a name")
    return output or source.with_name(f"{source.stem}.{kind}{SHEET}")


def check_place(target: Path, *, yes: bool) -> None:
    """Refuse before the work what could not be written after it.

    Raises:
        OutputError: it exists and nobody said yes, or its folder does not.
    """
    from david_cli.evaluation.targets import check_target

    checks.may_overwrite(target, yes=yes, ask=True)
    check_target(target, overwrite=True)


def open_picture(path: Path, view: View) -> None:
    """Show a picture with the program that the desktop has for it."""
    if typer.launch(str(path)):
        view.warn(f"no program was found to show {path} with; open it yourself")


def moment_table(moments: tuple[Shown, ...]) -> list[str]:
    """A line for each moment under a line of heads."""
    from david_cli.review.wording import clock, digits

    rows = [("moment", "time", "sharpness", "moves by")]
    for moment in moments:
        before, after = moment.sharpness
        moved = f"{digits(moment.motion)} px a frame" if moment.motion else ""
        name = moment.name or "asked for"
        rows.append((name, clock(moment.time), f"{before:.2f} -> {after:.2f}", moved))
    return aligned(rows)


def moment_facts(moments: tuple[Shown, ...]) -> list[dict[str, object]]:
    """The same for JSON; times in seconds."""
    return [
        {
            "moment": moment.name or None,
            "time": round(float(moment.time), 6),
            "sharpness": [round(value, 4) for value in moment.sharpness],
            "motion": None if moment.motion is None else round(moment.motion, 2),
        }
        for moment in moments
    ]


def _text(found: Preview) -> str:
    return "\n".join(map(one_line, [*moment_table(found.moments), found.estimate]))


def _facts(found: Preview, target: Path) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "source": str(found.info.path),
        "target": str(target),
        "model": found.model,
        "device": found.device,
        "moments": moment_facts(found.moments),
        "looked_at": found.looked_at,
        "frames": found.frames,
        "frames_per_second": round(1 / found.pace, 3),
        "seconds": None if found.seconds is None else round(found.seconds, 1),
        "notes": list(found.notes),
    }
