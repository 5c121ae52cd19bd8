"""`david eval`: measured quality of models and baselines on paired clips."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from david_cli.cli import options
from david_cli.cli.progress import View
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from david_cli.evaluation.methods import Method, Result
    from david_cli.evaluation.pairs import PairedClip
    from david_cli.evaluation.tables import TableName

SCHEMA = 2
"""Version of the JSON that ``--format json`` prints."""

Format = Literal["markdown", "csv", "json"]
FORMATS: dict[str, Format] = {".csv": "csv", ".json": "json"}
"""What a table is written as, by the suffix of its file; Markdown under any other."""

SHEET_CROP = (180, 240)
"""Largest height and width of the pictures on a sheet, before they are enlarged."""
Middles = dict[tuple["PairedClip", str], "Tensor"]
"""Results (3, H, W) of the middle frames, by clip and name of the method."""


def evaluate(
    pairs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS...",
            help="Folders of <clip>/{blurNN,sharp}/NNNN.png or of <video>/{input,GT}/NNNNN.png.",
            show_default=False,
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A shipped name, a weights file, a folder of them, input, wfa or wfa-noalign; "
            "flow:NAME runs weights on frames aligned by optical flow. May be repeated. "
            "Default: the shipped models.",
        ),
    ] = None,
    levels: Annotated[
        str | None, typer.Option("--levels", metavar="N,N", help="Only these blur levels.")
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="levels (the default), ssim, gains, or a table of the paper: 1, 2 or 3. "
            "May be repeated: every method runs once.",
        ),
    ] = None,
    as_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="markdown, csv or json. Default: by the suffix of -o, else markdown.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the tables here."),
    ] = None,
    yes: options.YesOption = False,
    margin: Annotated[
        int,
        typer.Option("--margin", min=0, help="Frames at either end that are not measured."),
    ] = 3,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="PNG", help="Also draw input, results and truth here."),
    ] = None,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write the mean gain per level into the weights files."),
    ] = False,
    device: options.DeviceOption = "auto",
    precision: options.PrecisionOption = "auto",
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Measure models and baselines on clips whose sharp truth is known.

    Whole frames and whole folders go in; results are rounded to 8 bits; all frames but three at
    either end are measured. PSNR is averaged over the frames of a clip, then over clips.

    [bold]Examples[/bold]
      david eval examples/pairs
      david eval val/pairs --model david --model runs/mine.safetensors --json
      david eval quantitative_datasets --model input --model david --table 3 -o table3.md
    """
    chosen = _chosen_format(as_format, output, as_json=as_json)
    options.check_output_file(output)
    if output is not None:
        options.may_overwrite(output, yes=yes, ask=True)
    wanted = options.parse_levels("--levels", levels)
    names = _parse_tables(table or ["levels"])

    from david_cli.evaluation.methods import load_methods, score_methods
    from david_cli.evaluation.pairs import find_clips
    from david_cli.evaluation.tables import check_tables, needed_levels

    needed = needed_levels(names, wanted)
    clips = find_clips(pairs, wanted if record else needed)
    if record and all(clip.level is None for clip in clips):
        raise UsageError("--record keeps gains by blur level, which these folders do not tell")
    methods = load_methods(model or ["david-lite", "david"], device=device, precision=precision)
    check_tables(names, methods, clips)
    view = View(quiet=quiet)
    middles: Middles = {}
    results = score_methods(
        methods,
        clips,
        margin=margin,
        on_clip=_announcer(view, len(methods) * len(clips)),
        on_result=None if sheet is None else partial(_keep_middle, middles),
    )
    for method in methods:
        if method.events is not None and method.events.kept:
            view.warn(
                f"{method.name}: {method.events.kept} results were unsound, the input was kept"
            )
    _deliver(_as_text(results, names, chosen), output)
    if record:
        _record(results)
    if sheet is not None:
        _draw(clips, middles, sheet)


def _chosen_format(named: Format | None, output: Path | None, *, as_json: bool) -> Format:
    if as_json and named not in (None, "json"):
        raise UsageError(f"--json and --format {named} contradict each other: give one")
    if as_json or named is not None:
        return named or "json"
    return FORMATS.get(output.suffix.lower(), "markdown") if output is not None else "markdown"


def _parse_tables(texts: Sequence[str]) -> list[TableName]:
    """The tables asked for, each once, in the order given."""
    from david_cli.evaluation.tables import TABLES

    names: dict[str, TableName] = {name: name for name in TABLES}
    for text in texts:
        if text not in names:
            raise UsageError(f"--table {text}: choose among {', '.join(names)}")
    return [names[text] for text in dict.fromkeys(texts)]


def _announcer(view: View, total: int) -> Callable[[Method, PairedClip], None]:
    """What says on standard error which method runs on which clip."""
    from david_cli.evaluation.tables import level_name

    number = count(1)

    def announce(method: Method, clip: PairedClip) -> None:
        level = level_name(clip.level) if clip.level is not None else "level unknown"
        view.note(f"{method.name}: {clip.name}, {level} ({next(number)} of {total})")

    return announce


def _keep_middle(
    middles: Middles, method: Method, clip: PairedClip, index: int, frame: Tensor
) -> None:
    if index == len(clip.blurry) // 2:
        middles[clip, method.name] = frame


def _as_text(results: Sequence[Result], names: Sequence[TableName], chosen: Format) -> str:
    """The tables asked for, without a line end."""
    from david_cli.evaluation.render import to_csv, to_markdown
    from david_cli.evaluation.tables import PER_METHOD, scores_table, tables_of

    if chosen == "json":
        return json.dumps(_facts(results, names), indent=2)
    if chosen == "markdown":
        texts = [to_markdown(table) for name in names for table in tables_of(results, name)]
        return "\n".join(texts)
    tables = [
        scores_table(results) if name in PER_METHOD else tables_of(results, name)[0]
        for name in names
    ]
    return "\n".join(to_csv(table) for table in tables).rstrip("\n")


def _facts(results: Sequence[Result], names: Sequence[TableName]) -> dict[str, Any]:
    """All scores, what the methods cost, and the tables that are more than the scores."""
    from david_cli.evaluation.render import to_rows
    from david_cli.evaluation.tables import PER_METHOD, methods_table, scores_table, tables_of

    scores: dict[str, list[dict[str, Any]]] = {r.method.name: [] for r in results}
    for row in to_rows(scores_table(results)):
        scores[str(row.pop("method"))].append(row)
    return {
        "schema": SCHEMA,
        "results": scores,
        "methods": to_rows(methods_table(results)),
        "tables": {n: to_rows(tables_of(results, n)[0]) for n in names if n not in PER_METHOD},
    }


def _deliver(text: str, output: Path | None) -> None:
    """Print the tables, or write them into a file that is complete or not there."""
    if output is None:
        typer.echo(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.part")
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(output)


def _record(results: Sequence[Result]) -> None:
    from david_cli.evaluation.pairs import gain_per_level
    from david_cli.network.weights import record_gain

    for result in results:
        if result.method.weights is not None:
            known = [s for s in result.scores if s.level is not None]
            gains = gain_per_level(known)
            record_gain(
                result.method.weights, {str(n): round(gain, 3) for n, gain in gains.items()}
            )


def _draw(clips: Sequence[PairedClip], middles: Middles, target: Path) -> None:
    """The busiest part of the middle frame of every clip: input, each result, truth."""
    from david_cli.evaluation.figures import Panel, busiest_crop, comparison_sheet
    from david_cli.evaluation.pairs import read_picture
    from david_cli.evaluation.tables import level_name
    from david_cli.metrics import psnr

    height, width = (min(SHEET_CROP[i], *(clip.size[i] for clip in clips)) for i in (0, 1))
    rows = []
    for clip in clips:
        middle = len(clip.blurry) // 2
        truth = read_picture(clip.sharp[middle])
        crop = (..., *busiest_crop(truth, height, width))
        level = f", {level_name(clip.level)}" if clip.level is not None else ""
        pictures = {f"{clip.name}{level}": read_picture(clip.blurry[middle])}
        pictures |= {name: frame for (of, name), frame in middles.items() if of == clip}
        row = [
            Panel(f"{label}: {psnr(picture, truth):.2f} dB", picture[crop])
            for label, picture in pictures.items()
        ]
        rows.append([*row, Panel("truth", truth[crop])])
    target.parent.mkdir(parents=True, exist_ok=True)
    comparison_sheet(rows, enlarge=2).save(target)
