"""`david eval`: measured quality of models on paired clips."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from david_cli.cli import options
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from david_cli.evaluation.pairs import ClipScore, PairedClip
    from david_cli.inference.deblurrer import Deblurrer

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""


def evaluate(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS", help="Folder of <clip>/{blurNN,sharp}/NNNN.png.", show_default=False
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A model or file; may be repeated."),
    ] = None,
    levels: Annotated[
        str | None, typer.Option("--levels", metavar="N,N", help="Only these blur levels.")
    ] = None,
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
    debug: options.DebugOption = False,
) -> None:
    """Measure models on clips whose sharp truth is known.

    Whole frames and whole folders go in; results are rounded to 8 bits; all frames but three at
    either end are measured. PSNR is averaged over the frames of a clip, then over clips.

    [bold]Examples[/bold]
      david eval examples/pairs
      david eval val/pairs --model david --model runs/mine.safetensors --json
    """
    from david_cli.evaluation.pairs import find_clips, score_clip
    from david_cli.inference.deblurrer import load_deblurrer

    clips = find_clips(pairs, _parse_levels(levels))
    results = {}
    names = model or ["david-lite", "david"]
    deblurrers = [load_deblurrer(name, device=device, precision=precision) for name in names]
    for name, deblurrer in zip(names, deblurrers, strict=True):
        scores = [score_clip(clip, partial(_restore, deblurrer)) for clip in clips]
        results[deblurrer.name] = scores
        if record:
            _record(name, scores)
        if not as_json:
            typer.echo(_table(deblurrer.name, scores))
    if as_json:
        facts = {name: [_facts(s) for s in scores] for name, scores in results.items()}
        typer.echo(json.dumps({"schema": SCHEMA, "results": facts}, indent=2))
    if sheet is not None:
        _draw(clips, deblurrers, sheet)


def _restore(deblurrer: Deblurrer, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    # one clip is one scene: without its own cut detection the protocol is exactly as stated
    return deblurrer.stream(frames, is_cut=None)


def _record(model: str, scores: list[ClipScore]) -> None:
    from david_cli.evaluation.pairs import gain_per_level
    from david_cli.network.weights import record_gain, resolve_weights

    gain = {str(level): round(value, 3) for level, value in gain_per_level(scores).items()}
    record_gain(resolve_weights(model), gain)


def _draw(clips: list[PairedClip], deblurrers: list[Deblurrer], target: Path) -> None:
    """The busiest part of the middle frame of every clip: input, each result, truth."""
    from david_cli.evaluation.figures import Panel, busiest_crop, comparison_sheet
    from david_cli.evaluation.pairs import read_picture, round_to_8_bits
    from david_cli.metrics import psnr

    rows = []
    for clip in clips:
        middle = len(clip.blurry) // 2
        truth = read_picture(clip.sharp[middle])
        crop = (..., *busiest_crop(truth, 180, 240))
        blurry = [read_picture(path) for path in clip.blurry]
        pictures = {f"{clip.name}, level {clip.level}": blurry[middle]}
        for deblurrer in deblurrers:
            results = list(_restore(deblurrer, blurry))
            pictures[deblurrer.name] = round_to_8_bits(results[middle])
        row = [
            Panel(f"{label}: {psnr(picture, truth):.2f} dB", picture[crop])
            for label, picture in pictures.items()
        ]
        rows.append([*row, Panel("truth", truth[crop])])
    target.parent.mkdir(parents=True, exist_ok=True)
    comparison_sheet(rows, enlarge=2).save(target)


def _parse_levels(text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--levels {text}: give numbers such as 3,7,11,15") from None


def _table(name: str, scores: list[ClipScore]) -> str:
    """Markdown: gain in dB per clip and level, with the input's PSNR in brackets."""
    from david_cli.evaluation.pairs import gain_per_level

    levels = sorted({s.level for s in scores})
    by_place = {(s.clip, s.level): s for s in scores}
    lines = [
        f"| {name}: gain in dB (input) | "
        + " | ".join(f"level {level}" for level in levels)
        + " |",
        "|---|" + "---:|" * len(levels),
    ]
    for clip in sorted({s.clip for s in scores}):
        row = (by_place.get((clip, level)) for level in levels)
        cells = (f"{s.gain:+.2f} ({s.input_psnr:.2f})" if s else "" for s in row)
        lines.append(f"| {clip} | " + " | ".join(cells) + " |")
    means = gain_per_level(scores)
    lines.append("| mean | " + " | ".join(f"{means[level]:+.2f}" for level in levels) + " |")
    heavy = [means[level] for level in levels if level > 3]
    light = [s for s in scores if s.level == 3]
    if heavy:
        lines.append(f"\nmean of the levels above 3: {sum(heavy) / len(heavy):+.2f} dB")
    if light:
        broken = [s.clip for s in light if not s.light_blur_left_alone]
        lines.append(
            "light blur left alone: " + (f"NOT on {', '.join(broken)}" if broken else "yes")
        )
    lines.append(f"seconds per frame: {sum(s.seconds for s in scores) / len(scores):.3f}\n")
    return "\n".join(lines)


def _facts(score: ClipScore) -> dict[str, Any]:
    return {
        "clip": score.clip,
        "level": score.level,
        "input_psnr": round(score.input_psnr, 4),
        "psnr": round(score.psnr, 4),
        "gain": round(score.gain, 4),
        "input_ssim": round(score.input_ssim, 5),
        "ssim": round(score.ssim, 5),
        "seconds_per_frame": round(score.seconds, 4),
    }
