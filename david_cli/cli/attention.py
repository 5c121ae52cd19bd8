"""`david attention`: what a model looks at, as a picture, a video or a table."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, network_options, options
from david_cli.cli.drawing import PICTURE, draw
from david_cli.cli.progress import View, open_view
from david_cli.cli.wording import deblurrer_facts
from david_cli.errors import InputError, UsageError
from david_cli.network.shipped import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from david_cli.evaluation.attention import ClipAttention
    from david_cli.evaluation.explain import Explainer

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""
OTHER_PICTURES = (
    *(".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"),
    *(".gif", ".apng", ".avif"),  # of which FFmpeg makes videos
)


def attention(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A video or a folder of pictures; with --measure, a folder of paired clips.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="A .png to draw, or a video."),
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(
            "--frame",
            metavar="T",
            help="For a .png: a frame number, from 1, or a time (1.5s, 0:01.5). Default: 1.",
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            "--frames", metavar="A-B", help="For a video: frames A to B, from 1. Default: all."
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", metavar="", help="Measure instead, on clips with sharp truth."),
    ] = False,
    as_json: options.JsonOption = False,
    yes: options.YesOption = False,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A model with attention: a name or a .safetensors file.",
            rich_help_panel=network_options.MODEL_PANEL,
        ),
    ] = "david",
    device: network_options.DeviceOption = "auto",
    precision: network_options.ExactPrecisionOption = "fp32",
    tile: network_options.TileOption = "auto",
    overlap: network_options.OverlapOption = DEFAULT_OVERLAP,
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Show what a model's attention does.

    Draws the blurry frame, the result, the weight of each module at every pixel (external
    attention) and, for each module, the weights of its branches (internal attention). Every map
    is labelled with its mean weight.

    With --measure: mean weights at each blur level of clips whose truth is known, what it costs
    in dB to replace the maps by uniform ones, and whether attention has degenerated.

    [bold]Examples[/bold]
      david attention holiday.mp4 --frame 40 -o attention.png
      david attention holiday.mp4 --frames 40-60 -o attention.mp4
      david attention examples/pairs --measure
    """
    _check_combination(output, frame, frames, measure=measure, as_json=as_json)
    if measure and progress == "json":
        raise UsageError("--progress json is for drawing; --measure has --json")
    edge = checks.parse_tile(tile)
    first, last = _parse_range(frames)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; check the name")
    overwrite = yes
    if output is not None:
        from david_cli.evaluation.targets import refuse_source

        refuse_source(source, output)
        overwrite = checks.may_overwrite(output, yes=yes, ask=progress != "json")

    from david_cli.evaluation.explain import Explainer, load_attentive

    mode = "none" if measure else progress  # a line for each clip will do
    with open_view(mode, source.name, quiet=quiet, verbose=False) as view:
        explainer = Explainer(
            load_attentive(model),
            device=device,
            precision=precision,
            tile=0 if measure and edge == "auto" else edge,  # whole frames, as `david eval` has it
            overlap=overlap,
            name=Path(model).stem,
        )
        if output is None:
            typer.echo(_measure(view, explainer, source, as_json=as_json))
            return
        if frame is not None:
            first = _parse_frame(source, frame)
        last = first if output.suffix.lower() == PICTURE else last
        draw(view, explainer, source, output, (first, last), overwrite=overwrite)


def _check_combination(
    output: Path | None, frame: str | None, frames: str | None, *, measure: bool, as_json: bool
) -> None:
    """Refuse options that do not go together."""
    checks.check_output_file(output)
    suffix = "" if output is None else output.suffix.lower()
    if measure == (output is not None):
        raise UsageError("say what to do: -o with a .png or a video to draw, or --measure")
    if as_json and not measure:
        raise UsageError("--json belongs to --measure; for events while drawing, --progress json")
    if measure and (frame or frames):
        raise UsageError("--frame and --frames say what to draw; --measure takes whole clips")
    if suffix in OTHER_PICTURES:
        raise UsageError(f"-o {output}: pictures of attention are written as {PICTURE}")
    if output is not None and suffix != PICTURE:
        _check_container(output)
    if frame and suffix != PICTURE:
        raise UsageError(f"--frame is for a picture; for the video {output} give --frames A-B")
    if frames and suffix == PICTURE:
        raise UsageError(f"--frames is for a video; for the picture {output} give --frame")


def _check_container(output: Path) -> None:
    from david_cli.video.containers import muxer_of

    if muxer_of(output) is None:
        raise UsageError(
            f"-o {output}: neither {PICTURE} nor a video; give a name such as attention.mp4"
        )


def _parse_range(text: str | None) -> tuple[int, int | None]:
    """Read ``--frames A-B``; one number is one frame."""
    if text is None:
        return 1, None
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip(), re.ASCII)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise UsageError(f"--frames {text}: give the first and the last, counted from 1 (40-60)")
    return first, last


def _parse_frame(source: Path, text: str) -> int:
    """Read ``--frame``: a number from 1, or a time, which is looked up in the video."""
    if re.fullmatch(r"\d+", text.strip(), re.ASCII):
        if int(text) < 1:
            raise UsageError(f"--frame {text}: frames are counted from 1")
        return int(text)
    if not (":" in text or text.endswith("s")):
        raise UsageError(f"--frame {text}: give a number from 1, or a time such as 1.5s or 0:01.5")
    seconds = checks.parse_time("--frame", text.removesuffix("s"))
    assert seconds is not None
    if source.is_dir():
        raise UsageError(f"--frame {text}: the pictures of a folder have no times; give a number")

    from david_cli.evaluation.film import frame_at

    return frame_at(source, seconds)


def _measure(view: View, explainer: Explainer, pairs: Path, *, as_json: bool) -> str:
    from david_cli.evaluation.attention import measure_attention
    from david_cli.evaluation.pairs import find_clips
    from david_cli.evaluation.tables import level_name

    found = find_clips(pairs)
    clips = []
    for number, clip in enumerate(found, 1):
        view.note(f"clip {number} of {len(found)}: {clip.name}, {level_name(clip.level)}")
        clips.append(measure_attention(clip, explainer))
    for line in explainer.deblurrer.events.lines():
        view.warn(line)
    return _as_json(clips, explainer) if as_json else _as_text(clips, explainer)


def _as_text(clips: list[ClipAttention], explainer: Explainer) -> str:
    """Markdown tables, then whether attention works."""
    from david_cli.evaluation.attention import attention_tables, is_degenerate, judge
    from david_cli.evaluation.render import to_markdown

    tables = map(to_markdown, attention_tables(clips, explainer.config).values())
    checks = judge(clips, explainer.config)
    said = {True: "yes", False: "NO", None: "not judged"}
    lines = [f"- {said[check.holds]}: {check.text}" for check in checks]
    verdict = {False: "works", True: "is degenerate", None: "works, as far as it was judged"}
    name, device = explainer.deblurrer.name, explainer.deblurrer.device
    where = f"on {device}, {explainer.deblurrer.precision}"
    title = f"The attention of {name} ({where}) {verdict[is_degenerate(checks)]}:"
    return "\n".join([*tables, title, "", *lines])


def _as_json(clips: list[ClipAttention], explainer: Explainer) -> str:
    from david_cli.evaluation.attention import attention_tables, is_degenerate, judge
    from david_cli.evaluation.pairs import MARGIN
    from david_cli.evaluation.render import to_rows

    checks = judge(clips, explainer.config)
    facts = {
        "schema": SCHEMA,
        **deblurrer_facts(explainer.deblurrer),
        "margin": MARGIN,
        **{key: to_rows(t) for key, t in attention_tables(clips, explainer.config).items()},
        "checks": [asdict(check) for check in checks],
        "degenerate": is_degenerate(checks),
        "clips": [asdict(clip) for clip in clips],
    }
    return json.dumps(facts, indent=2)
