"""`david compare`: two videos of the same frames beside each other, and in numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, options
from david_cli.cli.drawing import Run
from david_cli.cli.preview import SHEET, check_place, moment_facts, moment_table
from david_cli.cli.progress import View, open_view
from david_cli.cli.wording import aligned, duration, one_line
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from david_cli.review.compare import Comparison
    from david_cli.review.compose import Mode, Zoom

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""
PICTURE_PANEL, NUMBER_PANEL = "To look at", "Numbers"


def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="The video as it was.", show_default=False)
    ],
    b: Annotated[
        Path, typer.Argument(metavar="B", help="What was made of it.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A .png for a sheet of a few moments, else a video. Default: <A>.compare.png; "
            "with --split or --flicker a video; only numbers if these are asked for.",
        ),
    ] = None,
    yes: options.YesOption = False,
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            metavar="",
            help="Video: A left and B right of a line that moves.",
            rich_help_panel=PICTURE_PANEL,
        ),
    ] = False,
    flicker: Annotated[
        bool,
        typer.Option(
            "--flicker",
            metavar="",
            help="Video: A and B in turn, half a second each.",
            rich_help_panel=PICTURE_PANEL,
        ),
    ] = False,
    zoom: Annotated[
        str | None,
        typer.Option(
            "--zoom",
            metavar="X,Y,W,H",
            help="Enlarge this part: left, top, width and height in pixels.",
            rich_help_panel=PICTURE_PANEL,
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Sheet: show this moment (83.5 or 1:23.5). May be repeated.",
            rich_help_panel=PICTURE_PANEL,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="REF",
            help="The sharp truth: measure PSNR, SSIM and xPSNR of A and of B to it.",
            rich_help_panel=NUMBER_PANEL,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw sharpness over time: .png, .svg or .pdf (needs the extra plots).",
            rich_help_panel=NUMBER_PANEL,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Write the numbers of every frame here.",
            rich_help_panel=NUMBER_PANEL,
        ),
    ] = None,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Compare two videos of the same frames: to look at, and in numbers.

    As a sheet (.png) the blurriest, the fastest-moving and a typical moment, or those of --at,
    side by side and enlarged where they differ most. As a video all frames: side by side, --split
    or --flicker, at their own times and with the sound of A.

    [bold]Examples[/bold]
      david compare holiday.mp4 holiday.sharp.mp4
      david compare holiday.mp4 holiday.sharp.mp4 -o split.mp4 --split
      david compare holiday.mp4 holiday.sharp.mp4 --plot sharpness.png
      david compare blurry.mp4 result.mp4 --reference sharp.mp4 --csv n.csv
    """
    videos = [a, b, *([reference] if reference is not None else [])]
    measures = any((plot, csv, reference))
    target = _target(a, output, split=split, flicker=flicker, measures=measures)
    is_sheet = target is not None and target.suffix.lower() == SHEET
    _check_combination(target, is_sheet=is_sheet, moves=split or flicker, at=at)
    times = [time for text in at or () if (time := checks.parse_time("--at", text)) is not None]
    area = _parse_zoom(zoom)
    if area is not None and target is None:
        raise UsageError("--zoom is for pictures: name a sheet or a video with -o")
    _check_files(videos, [path for path in (target, plot, csv) if path is not None], yes=yes)
    if plot is not None:
        from david_cli.review.plot import check_plot

        check_plot(plot)

    with open_view("none" if as_json else "auto", a.name, quiet=quiet, verbose=False) as view:
        facts: dict[str, object] = {"schema": SCHEMA, "videos": [str(path) for path in videos]}
        lines: list[str] = []
        if is_sheet and target is not None:
            facts["moments"], table = _sheet(view, videos, target, times, area)
            lines += table
        if measures or not is_sheet:
            mode: Mode = "split" if split else "flicker" if flicker else "side"
            film = None if is_sheet or target is None else (target, mode, area, yes)
            found = _all_frames(view, videos, film, every=bool(plot or csv))
            lines += ["", *_table(found)] if lines else _table(found)
            facts.update(_facts(found))
            _write_numbers(found, videos, plot, csv, view)
    typer.echo(json.dumps(facts, indent=2) if as_json else "\n".join(map(one_line, lines)))


def _target(
    a: Path, output: Path | None, *, split: bool, flicker: bool, measures: bool
) -> Path | None:
    """Where the picture or the video goes; None where only numbers are wanted."""
    if split and flicker:
        raise UsageError("--split and --flicker are two ways to show the same: choose one")
    checks.check_output_file(output)
    moves = split or flicker
    if output is not None or (measures and not moves):
        return output
    return a.with_name(f"{a.stem}.compare{(a.suffix or '.mkv') if moves else SHEET}")


def _check_combination(
    target: Path | None, *, is_sheet: bool, moves: bool, at: list[str] | None
) -> None:
    if is_sheet and moves:
        raise UsageError(
            f"-o {target}: --split and --flicker are for videos; a sheet has both side by side"
        )
    if at and not is_sheet:
        raise UsageError("--at says what a sheet shows: name a .png with -o")
    if target is not None and not is_sheet:
        from david_cli.video.containers import muxer_of

        if muxer_of(target) is None:
            raise UsageError(
                f"-o {target}: neither {SHEET} nor a video; give a name such as compare.mp4"
            )


def _check_files(videos: Sequence[Path], targets: Sequence[Path], *, yes: bool) -> None:
    """Refuse before the work what could not be read or written after it."""
    from david_cli.video.reader import read_info

    for video in videos:
        if video == checks.STANDARD:
            raise UsageError("david compare reads files, not -: a pipe can be read only once")
        read_info(video)  # what is no video fails before anything is asked
    if len({target.resolve() for target in targets}) < len(targets):
        raise UsageError("-o, --plot and --csv would write the same file: give each its own name")
    for target in targets:
        checks.check_output_file(target)
        for video in videos:
            checks.refuse_own_input(video, target)
        check_place(target, yes=yes)


def _parse_zoom(text: str | None) -> Zoom | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", text.strip(), re.ASCII)
    if match is None or "0" in match.groups()[2:]:
        raise UsageError(
            f"--zoom {text}: give left, top, width and height in pixels, such as 100,50,320,180"
        )
    from david_cli.review.compose import Zoom

    return Zoom(*map(int, match.groups()))


def _sheet(
    view: View, videos: Sequence[Path], target: Path, times: Sequence[Fraction], zoom: Zoom | None
) -> tuple[list[dict[str, object]], list[str]]:
    """Write the sheet; facts and lines about its moments."""
    from david_cli.drawing import write_sheet
    from david_cli.review.compare_sheet import compare_moments, comparison_sheet

    moments = compare_moments(videos[:2], times, view.note)
    write_sheet(target, comparison_sheet(videos[:2], moments, zoom))
    view.note(f"wrote {target}")
    return moment_facts(moments), moment_table(moments)


def _all_frames(
    view: View,
    videos: Sequence[Path],
    film: tuple[Path, Mode, Zoom | None, bool] | None,
    *,
    every: bool,
) -> Comparison:
    """Go through all frames, with the view's bar."""
    from david_cli.inference.stages import Clock
    from david_cli.review.compare import Film, compare_all
    from david_cli.review.wording import frames_in_words
    from david_cli.video.reader import read_info

    run = Run(view, read_info(videos[0]).frame_count, Clock())
    view.start("comparing", run.total, {})
    found = compare_all(
        videos,
        None if film is None else Film(*film),
        every=every,
        clock=run.clock,
        on_frame=run.on_frame,
        on_message=run.on_message,
    )
    if found.target is not None:
        view.note(
            f"wrote {found.target}: {frames_in_words(found.frames)} in {duration(run.elapsed)}"
        )
    return found


def _write_numbers(
    found: Comparison, videos: Sequence[Path], plot: Path | None, csv: Path | None, view: View
) -> None:
    from david_cli.files import replace_file
    from david_cli.review.measure import to_csv
    from david_cli.review.pairing import names_of

    if csv is not None:
        replace_file(csv, to_csv(found.points).encode())
        view.note(f"wrote {csv}")
    if plot is not None:
        from david_cli.review.plot import draw_plot

        draw_plot(found.points, names_of(*videos[:2]), plot)
        view.note(f"wrote {plot}")


def _table(found: Comparison) -> list[str]:
    """A line for each number under a line of heads."""
    from david_cli.review.wording import frames_in_words

    means = found.means
    rows = [("", "A", "B", "B - A"), _row("sharpness", means.sharpness, ".3f")]
    if means.unrest is not None:
        rows.append(_row("flicker where A is still", means.unrest, ".2f"))
    if means.quality is not None:
        one, two = means.quality
        rows += [
            _row("PSNR, dB", (one.psnr, two.psnr), ".2f"),
            _row("SSIM", (one.ssim, two.ssim), ".4f"),
            _row("xPSNR, dB", (one.xpsnr, two.xpsnr), ".2f"),
        ]
    some = f"{frames_in_words(means.measured)} all over it"
    of = "every frame" if means.measured == found.frames else some
    return [*aligned(rows), f"{frames_in_words(found.frames)} in both; measured: {of}"]


def _row(name: str, values: tuple[float, float], form: str) -> tuple[str, str, str, str]:
    one, two = values
    return name, f"{one:{form}}", f"{two:{form}}", f"{two - one:+{form}}"


def _facts(found: Comparison) -> dict[str, object]:
    means = found.means
    facts: dict[str, object] = {
        "frames": found.frames,
        "measured": means.measured,
        "target": None if found.target is None else str(found.target),
        "sharpness": [round(value, 5) for value in means.sharpness],
    }
    if means.unrest is not None:
        facts["unrest"] = [round(value, 5) for value in means.unrest]
    if means.quality is not None:
        for metric in ("psnr", "ssim", "xpsnr"):
            facts[metric] = [round(getattr(one, metric), 5) for one in means.quality]
    return facts
