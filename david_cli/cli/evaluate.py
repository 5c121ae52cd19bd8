"""`david eval`: measured quality of models and baselines on paired clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from david_cli.cli import checks, network_options, options
from david_cli.cli.progress import View
from david_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from david_cli.evaluation.methods import Method, Result
    from david_cli.evaluation.pairs import PairedClip
    from david_cli.evaluation.report import Setting
    from david_cli.evaluation.tables import TableName

Format = Literal["markdown", "csv", "json"]
FORMATS: dict[str, Format] = {".csv": "csv", ".json": "json"}
"""What a table is written as, by the suffix of its file; Markdown under any other."""
MARGIN = 3
"""Frames at either end that the protocol leaves out (``evaluation.pairs``)."""


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
    ] = MARGIN,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="FILE.png", help="Also draw input, results and truth here."
        ),
    ] = None,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write the mean gain per level into the weights files."),
    ] = False,
    device: network_options.DeviceOption = "auto",
    precision: network_options.ExactPrecisionOption = "fp32",
    engine: network_options.EngineOption = "auto",
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
    wanted = checks.parse_levels("--levels", levels)
    names = _parse_tables(table or ["levels"], chosen)
    if record and (wanted is not None or margin != MARGIN):
        raise UsageError("--record keeps what the protocol gives: leave out --levels and --margin")
    _check_targets(output, sheet, yes=yes)

    from david_cli.drawing import write_sheet
    from david_cli.evaluation.comparison import Comparison
    from david_cli.evaluation.methods import load_methods, score_methods
    from david_cli.evaluation.pairs import find_clips
    from david_cli.evaluation.report import as_text
    from david_cli.evaluation.tables import check_tables, needed_levels
    from david_cli.evaluation.targets import make_folder

    needed = needed_levels(names, wanted)
    clips = find_clips(pairs, None if record else needed)
    _refuse_frames(clips, output, sheet)
    if record and all(clip.level is None for clip in clips):
        raise UsageError("--record keeps gains by blur level, which these folders do not tell")
    setting = _setting(margin, device, precision, engine)
    names_of_models = model or ["david-lite", "david"]
    methods = load_methods(names_of_models, device=device, precision=precision, engine=engine)
    check_tables(names, methods, clips)
    view = View(quiet=quiet)
    comparison = None if sheet is None else Comparison(clips)
    results = score_methods(
        methods,
        clips,
        margin=margin,
        on_clip=_announcer(view, len(methods) * len(clips)),
        on_result=None if comparison is None else comparison.keep,
    )
    for method in methods:
        for line in () if method.events is None else method.events.lines():
            view.warn(f"{method.name}: {line}")
    _deliver(as_text(results, names, chosen, setting), output)
    if record:
        _record(results)
    if sheet is not None and comparison is not None:
        make_folder(sheet)
        write_sheet(sheet, comparison.sheet())


def _check_targets(output: Path | None, sheet: Path | None, *, yes: bool) -> None:
    """Refuse before the work what could not be written after it."""
    from david_cli.evaluation.targets import check_folder

    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet {sheet}: sheets are written as .png")
    for target in (output, sheet):
        checks.check_output_file(target)
        if target is not None:
            checks.may_overwrite(target, yes=yes, ask=True)
            check_folder(target)


def _refuse_frames(clips: Sequence[PairedClip], *targets: Path | None) -> None:
    """Refuse files among the pictures that are measured."""
    folders = {p.parent.resolve() for c in clips for p in (c.blurry[0], c.sharp[0])}
    for target in targets:
        if target is not None and target.resolve().parent in folders:
            raise OutputError(f"{target} is among the frames of a clip; choose another place")


def _setting(margin: int, device: str, precision: str, engine: str) -> Setting:
    from david_cli.evaluation.report import Setting
    from david_cli.inference.device import resolve_device, resolve_engine, resolve_precision

    place = resolve_device(device)
    computing = resolve_precision(precision, place), resolve_engine(engine, place)
    return Setting(margin, str(place), *computing)


def _chosen_format(named: Format | None, output: Path | None, *, as_json: bool) -> Format:
    if as_json and named not in (None, "json"):
        raise UsageError(f"--json and --format {named} contradict each other: give one")
    if as_json or named is not None:
        return named or "json"
    return FORMATS.get(output.suffix.lower(), "markdown") if output is not None else "markdown"


def _parse_tables(texts: Sequence[str], chosen: Format) -> list[TableName]:
    """The tables asked for, each once, in the order given."""
    from david_cli.evaluation.report import check_csv
    from david_cli.evaluation.tables import TABLES

    names: dict[str, TableName] = {name: name for name in TABLES}
    for text in texts:
        if text not in names:
            raise UsageError(f"--table {text}: choose among {', '.join(names)}")
    found = [names[text] for text in dict.fromkeys(texts)]
    if chosen == "csv":
        check_csv(found)
    return found


def _announcer(view: View, total: int) -> Callable[[Method, PairedClip], None]:
    """What says on standard error which method runs on which clip."""
    from david_cli.evaluation.tables import level_name

    number = count(1)

    def announce(method: Method, clip: PairedClip) -> None:
        level = level_name(clip.level) if clip.level is not None else "level unknown"
        view.note(f"{method.name}: {clip.name}, {level} ({next(number)} of {total})")

    return announce


def _deliver(text: str, output: Path | None) -> None:
    """Print the tables, or write them into a file; what cannot be written is printed after all."""
    from david_cli.evaluation.targets import write_text

    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        write_text(output, text)
    except OutputError:
        typer.echo(text, nl=False)
        raise


def _record(results: Sequence[Result]) -> None:
    """Write the mean gain per level beside those that the weights files know of other levels."""
    from david_cli.evaluation.pairs import gain_per_level
    from david_cli.network.weights import read_info, record_gain

    for result in results:
        path = result.method.weights
        if path is None:
            continue
        gains = gain_per_level(s for s in result.scores if s.level is not None)
        measured = {str(level): round(gain, 3) for level, gain in gains.items()}
        merged = {**read_info(path).gain, **measured}
        try:
            record_gain(path, {key: merged[key] for key in sorted(merged, key=int)})
        except OSError as err:
            raise OutputError(f"{path}: the gain cannot be recorded: {err.strerror}") from err
