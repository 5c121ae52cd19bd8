"""`david finetune`: a shipped model made to fit one's own camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, network_options, options
from david_cli.cli.progress import emit
from david_cli.cli.training_view import TrainingView, open_training_view
from david_cli.errors import Interrupted, OutputError, UsageError

if TYPE_CHECKING:
    from david_cli.tuning.verdict import Verdict


def finetune(
    videos: Annotated[
        list[Path],
        typer.Argument(
            metavar="SHARP_VIDEO...",
            help="Sharp footage of your own, or folders of it.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE.safetensors", help="The weights to write."),
    ],
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes",
            min=0.05,
            metavar="N",
            help="How long it may take in all; measuring at the end comes on top.",
        ),
    ] = 30.0,
    model: network_options.ModelOption = "auto",
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE.png",
            help="Held-out frames before and after. By default beside the weights.",
        ),
    ] = None,
    device: network_options.DeviceOption = "auto",
    yes: options.YesOption = False,
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Fine-tune a model to your own camera, with sharp videos that it took.

    Sharp parts of the videos are blurred as a longer exposure would, and the model learns to undo
    it. The end of every video is held out: never trained on, it tells at the end, in numbers and
    in a picture, whether the new weights are better. Use them with --model FILE.safetensors.
    Interrupted, the same command goes on.

    [bold]Examples[/bold]
      david finetune clips/ -o mine.safetensors --minutes 30
      david finetune a.mp4 b.mp4 -o mine.safetensors --model david
    """
    picture = picture or output.with_suffix(".png")
    _check_targets(output, picture, yes=yes)

    from david_cli.inference.device import resolve_device
    from david_cli.inference.memory import keep_freed_memory
    from david_cli.network.shipped import AUTO
    from david_cli.tuning.finetune import FinetuneSettings
    from david_cli.tuning.finetune import finetune as tune

    place = resolve_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    if model == "auto":
        model = AUTO
    settings = FinetuneSettings(model=model, minutes=minutes, device=place)
    with open_training_view(progress, quiet=quiet) as view:
        facts = {"command": "finetune", "target": str(output), "device": str(place), "model": model}
        time = "1 minute" if minutes == 1 else f"{minutes:g} minutes"
        view.start(f"fine-tuning {Path(model).stem} on {place}, {time}", None, facts)
        try:
            verdict = tune(videos, output, settings, view, picture=picture)
        except KeyboardInterrupt as err:
            raise Interrupted("what is done is kept") from err
        view.close()
        _tell(verdict, picture, view, as_events=progress == "json")


def _check_targets(output: Path, picture: Path, *, yes: bool) -> None:
    """Refuse before the work what could not be written after it."""
    if output.suffix != ".safetensors":
        raise UsageError(f"-o {output}: name a file that ends in .safetensors")
    if picture.suffix.lower() != ".png":
        raise UsageError(f"--picture {picture}: name a file that ends in .png")
    for target in (output, picture):
        checks.check_output_file(target)
        if not target.absolute().parent.is_dir():
            raise OutputError(f"{target.parent} is no folder: make it first")
        if target.exists() and not yes:
            raise OutputError(f"{target} exists; --yes overwrites it, -o writes elsewhere")


def _tell(verdict: Verdict, picture: Path, view: TrainingView, *, as_events: bool) -> None:
    """The numbers on standard output, and what to make of them."""
    if as_events:
        emit("done", {**verdict.facts(), "picture": str(picture)})
        return
    for line in table(verdict):
        typer.echo(line)
    first, *others = verdict.advice()
    (view.warn if verdict.is_worse else view.note)(first)
    for line in others:
        view.warn(line)
    view.note(f"wrote {verdict.weights} and {picture}")


def table(verdict: Verdict) -> list[str]:
    """Gains by level, before and after; the last row is their mean."""
    names = (verdict.model, verdict.weights.stem)
    wide = [max(8, len(name)) for name in names]
    heads = "  ".join(f"{name:>{width}}" for name, width in zip(names, wide, strict=True))
    rows = [(f"level {n}", verdict.before[n], verdict.after[n]) for n in verdict.before]
    count = len(rows)
    rows.append(("mean", sum(r[1] for r in rows) / count, sum(r[2] for r in rows) / count))
    lines = [
        f"gain over the blurry input in dB, {verdict.frames} held-out frames of "
        f"{verdict.clips} " + ("clip" if verdict.clips == 1 else "clips"),
        f"{'blur':<9}  {heads}",
    ]
    for name, before, after in rows:
        lines.append(f"{name:<9}  {before:>+{wide[0]}.2f}  {after:>+{wide[1]}.2f}")
    return lines
