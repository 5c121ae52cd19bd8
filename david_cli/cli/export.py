"""`david export`: a network as one file for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from david_cli.cli import checks, options
from david_cli.cli.wording import one_line
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from david_cli.inference.export import Exported

Precision = Literal["fp32", "fp16"]

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name that `david models` lists, or a .safetensors file.",
            show_default=False,
        ),
    ],
    onnx: Annotated[
        Path | None,
        typer.Option("--onnx", metavar="FILE.onnx", help="Write ONNX (extra onnx)."),
    ] = None,
    openvino: Annotated[
        Path | None,
        typer.Option(
            "--openvino",
            metavar="FILE.xml",
            help="Write OpenVINO, with a .bin beside it (extras onnx and openvino).",
        ),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option("--precision", metavar="NAME", help="Of the stored weights: fp32 or fp16."),
    ] = "fp32",
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Write a network as one file for other programs: ONNX or OpenVINO.

    The file takes a window of seven frames (B, 7, 3, H, W), RGB from 0 to 1, and gives the sharp
    centre frame (B, 3, H, W), for any number of windows and any size. Before it gets its name it
    runs beside torch, and the largest difference is printed. docs/export.md shows how to use it.

    [bold]Examples[/bold]
      david export david-lite --onnx david-lite.onnx
      david export david --onnx david.onnx --openvino david.xml --precision fp16
    """
    _check_targets(onnx, openvino)
    for target in (onnx, openvino):
        if target is not None:
            checks.may_overwrite(target, yes=yes, ask=not as_json)

    from david_cli.inference.export import export_onnx, export_openvino, model_facts
    from david_cli.network.weights import load_network, read_info, resolve_weights

    network = load_network(model)
    facts = model_facts(read_info(resolve_weights(model)))
    written = []
    if onnx is not None:
        written.append(export_onnx(network, onnx, facts, precision))
    if openvino is not None:
        written.append(export_openvino(network, openvino, facts, precision))
    if as_json:
        files = [_as_json(file) for file in written]
        typer.echo(json.dumps({"schema": SCHEMA, **facts, "files": files}, indent=2))
        return
    for file in written:
        typer.echo(one_line(_as_text(file)))


def _check_targets(onnx: Path | None, openvino: Path | None) -> None:
    """Refuse names that the files cannot have, and folders that are not there."""
    if onnx is None and openvino is None:
        raise UsageError("say what to write: --onnx FILE.onnx, --openvino FILE.xml or both")
    for option, target, suffix in (("--onnx", onnx, ".onnx"), ("--openvino", openvino, ".xml")):
        if target is not None and target.suffix.lower() != suffix:
            raise UsageError(f"{option} {target}: give a name that ends in {suffix}")
        checks.check_output_file(target)


def _as_text(file: Exported) -> str:
    wrote = f"wrote {file.path} ({file.bytes / 1e6:.1f} MB)"
    if file.check is None:
        return f"{wrote}; not checked: ONNX Runtime is not installed"
    return (
        f"{wrote}; {file.check.runtime} differs from torch by {file.check.difference:.1e} at most"
    )


def _as_json(file: Exported) -> dict[str, Any]:
    check = {} if file.check is None else file.check._asdict()
    return {"path": str(file.path), "bytes": file.bytes, **check}
