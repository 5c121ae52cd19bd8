"""`david models`: the shipped networks, with what they cost and what they gain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from david_cli.cli import options
from david_cli.cli.wording import one_line

if TYPE_CHECKING:
    from david_cli.network.weights import WeightsInfo

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""


def models(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE", help="Weights files to describe instead.", show_default=False
        ),
    ] = None,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """List the shipped models: size, cost, checksum, measured gain.

    GMACs are billions of multiply-adds for one 256x256 frame. The gain is the PSNR in dB over
    the blurry input, at each blur level for which the weights file records a measurement.

    [bold]Examples[/bold]
      david models
      david models runs/last.safetensors --json
    """
    from david_cli.network.weights import read_info, resolve_weights, shipped_models

    found = [read_info(resolve_weights(file)) for file in files or ()] or shipped_models()
    facts = [describe_model(model) for model in found]
    if as_json:
        typer.echo(json.dumps({"schema": SCHEMA, "models": facts}, indent=2))
    elif facts:
        typer.echo("\n\n".join(_as_text(fact) for fact in facts))
    else:
        typer.echo("david: no weights are installed; --model takes a .safetensors file", err=True)


def describe_model(model: WeightsInfo) -> dict[str, Any]:
    """Everything `david models` says of one weights file, for JSON."""
    from david_cli.network.build import count_gmacs, count_parameters, kind_of
    from david_cli.network.weights import checksum

    return {
        "name": model.name,
        "path": str(model.path),
        "network": kind_of(model.config),
        "parameters": count_parameters(model.config),
        "gmacs": count_gmacs(model.config),
        "bytes": model.path.stat().st_size,
        "sha256": checksum(model.path),
        "gain_db": model.gain,
        "config": model.config.to_dict(),
        "training": model.training,
    }


def _as_text(fact: dict[str, Any]) -> str:
    gain = ", ".join(f"{level}: {value:+.2f} dB" for level, value in fact["gain_db"].items())
    lines = {
        "size": f"{fact['bytes'] / 1e6:.1f} MB, {fact['parameters'] / 1e6:.2f} M parameters",
        "cost": f"{fact['gmacs']:.2f} GMACs for a 256x256 frame",
        "gain": f"by blur level {gain}" if gain else "not measured",
        "sha256": fact["sha256"],
        "file": one_line(fact["path"]),
    }
    return "\n".join([fact["name"], *(f"  {key:<8}{value}" for key, value in lines.items())])
