"""`david train`: one phase of training, from packs to a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from david_cli.cli import options
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from david_cli.network.david import David
    from david_cli.training.trainer import StepLog

Network = Literal["david", "david-lite", "external"]


def train(
    packs: Annotated[
        list[Path],
        typer.Argument(metavar="PACK", help="Folders made by `david synth`.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The weights file to write."),
    ],
    network: Annotated[
        Network,
        typer.Option(
            "--network", help="Whose layout to train; external is david with 7-frame branches only."
        ),
    ] = "david-lite",
    start: Annotated[
        list[str] | None,
        typer.Option(
            "--start",
            metavar="NAME",
            help="Weights to start from. A david or external may start from one david-lite, or "
            "from three, one per blur level, by repeating this; a david also from one external.",
        ),
    ] = None,
    part: Annotated[
        Literal["all", "attention", "external"],
        typer.Option("--part", help="Which tensors move; the rest is frozen."),
    ] = "all",
    levels: Annotated[
        str | None, typer.Option("--levels", metavar="N,N", help="Only samples of these levels.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1)] = 12000,
    batch: Annotated[int, typer.Option("--batch", min=1)] = 32,
    crop: Annotated[int, typer.Option("--crop", min=16)] = 64,
    lr: Annotated[float, typer.Option("--lr", help="Largest learning rate.")] = 8e-4,
    loss: Annotated[
        Literal["psnr", "charbonnier", "l2", "level"],
        typer.Option("--loss", help="level teaches external attention to tell blur levels."),
    ] = "psnr",
    seed: Annotated[int, typer.Option("--seed")] = 1,
    device: options.DeviceOption = "auto",
    debug: options.DebugOption = False,
) -> None:
    """Train a network on packs, or go on with a run that was stopped.

    A checkpoint lies beside the weights while training runs; the same command resumes from it.

    [bold]Examples[/bold]
      david train packs/photos -o lite.safetensors --steps 12000
      david train packs/photos -o david.safetensors --network david --start lite.safetensors
    """
    import torch

    from david_cli.inference.device import resolve_device
    from david_cli.inference.memory import keep_freed_memory
    from david_cli.network.weights import save_network
    from david_cli.synthesis.dataset import read_packs
    from david_cli.training.config import TrainConfig
    from david_cli.training.trainer import train as run

    chosen = None if levels is None else _parse_levels(levels)
    config = TrainConfig(
        steps=steps,
        part=part,
        loss=loss,
        batch=batch,
        crop=crop,
        levels=chosen,
        lr=lr,
        warmup=min(TrainConfig.warmup, steps // 10),
        seed=seed,
    )
    place = resolve_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(seed)
    model = _starting_point(network, start or [])
    pack = read_packs(packs, chosen)
    typer.echo(f"{len(pack)} samples", err=True)
    checkpoint = output.with_name(f"{output.stem}.checkpoint.safetensors")
    average = run(model, pack, config, checkpoint, device=place, on_log=_print)
    model.load_state_dict(average)
    history = {"command": _record(config, start or [], packs), "network": network}
    save_network(model, output, history)
    checkpoint.unlink()
    typer.echo(f"wrote {output}", err=True)


def _starting_point(network: Network, start: list[str]) -> David:
    """An untrained network, a trained one, or one assembled from trained branches."""
    from dataclasses import replace

    from david_cli.network.david import DAVID, DAVID_LITE, David, assemble
    from david_cli.network.weights import load_network

    layouts = {"david": DAVID, "david-lite": DAVID_LITE, "external": replace(DAVID, branches=(7,))}
    config = layouts[network]
    sources = [load_network(name) for name in start]
    if not sources:
        return David(config)
    if len(sources) == 1 and sources[0].config == config:
        return sources[0]
    try:
        return assemble(sources, config)
    except ValueError as err:
        raise UsageError(f"--start {' '.join(start)}: {err}") from err


def _record(config: object, start: list[str], packs: list[Path]) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(config), "start": start, "packs": [p.name for p in packs]}  # type: ignore[call-overload]


def _parse_levels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--levels {text}: give numbers such as 3,7") from None


def _print(log: StepLog) -> None:
    typer.echo(
        f"step {log.step}  loss {log.loss:.3f}  gain {log.gain:+.3f} dB  "
        f"gradient {log.gradient:.2f}  lr {log.lr:.2e}  {log.seconds:.0f} s",
        err=True,
    )
