"""`david train`: every phase of a recipe, from packs to weights files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, network_options, options
from david_cli.cli.training_view import TrainingView, counted, open_training_view
from david_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    import torch

    from david_cli.evaluation.pairs import PairedClip
    from david_cli.network.build import Network
    from david_cli.training.monitor import Monitor, Validate
    from david_cli.training.recipe import Recipe

VALIDATION_PANEL = "Validation and curves"


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="A TOML file, or a shipped recipe's name.", show_default=False
        ),
    ],
    packs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PACK...", help="Folders made by `david synth`.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="RUN", help="Folder for weights, log and state."),
    ],
    phase: Annotated[
        list[str] | None,
        typer.Option("--phase", metavar="NAME", help="Only this phase; may be repeated."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0.01,
            metavar="N",
            help="Measure the rate once, and scale the steps of the whole recipe to take this "
            "long. Validation comes on top.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", min=0.0, metavar="X", help="Multiply the steps of every phase."),
    ] = None,
    validate: Annotated[
        list[Path] | None,
        typer.Option(
            "--validate",
            metavar="PAIRS",
            help="Measure whole frames of these paired clips (as `david eval` reads them) at "
            "every checkpoint and at the end of each phase. It costs time: whole clips are "
            "deblurred while training waits.",
            rich_help_panel=VALIDATION_PANEL,
        ),
    ] = None,
    validate_levels: Annotated[
        str | None,
        typer.Option(
            "--validate-levels",
            metavar="N,N",
            help="Only these blur levels of them.",
            rich_help_panel=VALIDATION_PANEL,
        ),
    ] = None,
    curves: Annotated[
        Path | None,
        typer.Option(
            "--curves",
            metavar="FILE.png",
            help="Draw the curves here at the end of each phase (.png, .svg or .pdf), over what "
            "is there; a finished run is only drawn. Needs david-cli\\[plots].",
            rich_help_panel=VALIDATION_PANEL,
        ),
    ] = None,
    device: network_options.DeviceOption = "auto",
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Train the phases of a recipe, or go on with a run that was stopped.

    Every phase leaves RUN/<phase>.safetensors; RUN/log.jsonl tells what happened. The same command
    resumes: what is trained stays, and the phase that was under way continues from its checkpoint
    to the same result, bit for bit on a CPU. Several devices: torchrun --nproc-per-node 2 -m
    david_cli train ...

    [bold]Examples[/bold]
      david train ablation packs/photos -o runs/first --minutes 120
      david train mine.toml packs/a packs/b -o runs/mine
      david train mine.toml packs/a -o run --curves run.png
    """
    if minutes is not None and scale is not None:
        raise UsageError("give --minutes or --scale, not both")
    if validate_levels is not None and not validate:
        raise UsageError("--validate-levels needs --validate PAIRS")
    levels = checks.parse_levels("--validate-levels", validate_levels)

    from david_cli.evaluation.pairs import find_clips
    from david_cli.inference.device import resolve_device
    from david_cli.inference.memory import keep_freed_memory
    from david_cli.training import processes
    from david_cli.training.phases import run_recipe
    from david_cli.training.recipe import find_recipe, read_recipe

    _check_targets(output, curves)
    plan = read_recipe(find_recipe(recipe))
    chosen = _chosen(plan, phase)
    clips = find_clips(validate, levels) if validate else []
    place = resolve_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    with processes.joined(place) as place, _open_view(progress, quiet=quiet) as view:
        for part in plan.phases:
            processes.share(part.training.batch)
        if minutes is not None:
            plan = _to_minutes(plan, packs, output, minutes, place, view)
        elif scale is not None:
            plan = plan.scaled(scale)
        if processes.rank() > 0:
            run_recipe(plan, packs, output, only=chosen, device=place)
            return
        started = time.monotonic()
        _announce(plan, chosen, output, place, view)
        monitor = _monitor(plan, chosen, output, view, _validator(clips, place, view), curves)
        run_recipe(plan, packs, output, only=chosen, device=place, on_event=monitor)
        monitor.finish()
        view.ended(output, chosen, time.monotonic() - started)


def _check_targets(output: Path, curves: Path | None) -> None:
    """Refuse before the work what could not be written after it."""
    from david_cli.training.curves import SUFFIXES, check_matplotlib

    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file: name a folder for the run with -o")
    if curves is None:
        return
    if curves.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--curves {curves}: name a file that ends in {', '.join(SUFFIXES)}")
    if curves.is_dir():
        raise OutputError(f"--curves {curves} is a folder; name a file in it")
    check_matplotlib()


def _chosen(plan: Recipe, names: Sequence[str] | None) -> list[str]:
    """The phases to run, in their own order."""
    known = [phase.name for phase in plan.phases]
    for name in names or ():
        if name not in known:
            raise UsageError(f"--phase {name}: {plan.name} has {', '.join(known)}")
    return [name for name in known if not names or name in names]


def _open_view(mode: options.ProgressMode, *, quiet: bool) -> TrainingView:
    """The view of this process; only the first of several speaks."""
    from david_cli.training import processes

    silent = processes.rank() > 0
    return open_training_view("none" if silent else mode, quiet=quiet or silent)


def _to_minutes(
    plan: Recipe,
    packs: Sequence[Path],
    output: Path,
    minutes: float,
    place: torch.device,
    view: TrainingView,
) -> Recipe:
    from david_cli.training.scale import recorded_scale, scale_to_minutes

    if not recorded_scale(output):
        view.note(f"measuring the rate of {len(plan.phases)} phases")
    scaled = scale_to_minutes(plan, packs, output, minutes, place)
    found = recorded_scale(output)
    if found["minutes"] != minutes:
        view.warn(
            f"{output} was scaled to {found['minutes']:g} minutes and keeps its steps: "
            "write to another folder for others"
        )
    view.note(f"every phase takes {found['factor']:.3g} times the steps of {plan.name}")
    return scaled


def _announce(
    plan: Recipe, chosen: Sequence[str], output: Path, place: torch.device, view: TrainingView
) -> None:
    steps = sum(phase.training.steps for phase in plan.phases if phase.name in chosen)
    view.start(
        f"{plan.name} on {place}: {counted(len(chosen), 'phase')}, {counted(steps, 'step')}",
        steps,
        {
            "command": "train",
            "recipe": plan.name,
            "target": str(output),
            "device": str(place),
            "phases": list(chosen),
        },
    )


def _monitor(
    plan: Recipe,
    chosen: Sequence[str],
    output: Path,
    view: TrainingView,
    validate: Validate | None,
    curves: Path | None,
) -> Monitor:
    from david_cli.training.log import RunLog
    from david_cli.training.monitor import Monitor
    from david_cli.training.pace import Pace
    from david_cli.training.scale import recorded_scale

    phases = [phase for phase in plan.phases if phase.name in chosen]
    pace = Pace(phases, recorded_scale(output).get("seconds_per_step"))
    return Monitor(RunLog(output), pace, view, validate=validate, curves=curves)


def _validator(
    clips: Sequence[PairedClip], place: torch.device, view: TrainingView
) -> Validate | None:
    """What measures a network on clips; the blurry input is measured only once."""
    from david_cli.evaluation.pairs import ClipScore, Measured, gain_per_level, measure
    from david_cli.inference.deblurrer import Deblurrer
    from david_cli.inference.device import resolve_precision

    inputs: dict[PairedClip, Measured] = {}

    def validate(network: Network) -> dict[str, float]:
        precision = resolve_precision("auto", place)
        deblurrer = Deblurrer(network, device=place, precision=precision, tile=0)
        scores = []
        for number, clip in enumerate(clips, 1):
            view.busy(f"validating: {clip.blurry[0].parent} ({number} of {len(clips)})")
            if clip not in inputs:
                inputs[clip] = measure(clip, iter)
            after = measure(clip, partial(deblurrer.stream, is_cut=None))
            scores.append(ClipScore.of(clip, inputs[clip], after))
        gains = gain_per_level(scores).items()
        return {"all" if level is None else str(level): gain for level, gain in gains}

    return validate if clips else None
