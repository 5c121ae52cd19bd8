"""The whole network as one file for other programs: ONNX, or OpenVINO's .xml with its .bin.

    window (B, T, 3, H, W) float32, RGB in [0, 1], any B, H, W  ->  sharp (B, 3, H, W), not clipped

Padding to the network's stride and cutting it off again are part of the graph, and what is known of
the weights is in the file. A file gets its name only after it has run beside torch, where a program
that runs it is installed. The graph is traced by ``torch.export``, in torch 2.6 to 2.13 at least;
the OpenVINO file is made from the ONNX one, so that there is one graph and not two.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from david_cli import __version__
from david_cli.errors import OutputError, UsageError
from david_cli.inference.export_check import Check, ExportPrecision, check_onnx, check_openvino
from david_cli.network.build import Network, kind_of
from david_cli.network.davidx import DavidX
from david_cli.network.weights import WeightsInfo, checksum, shipped_models

INPUT, OUTPUT = "window", "sharp"
"""Names of the graph's input and output."""
LICENCE = "MIT"
"""Of the shipped weights; others do not say theirs."""
_LONGEST = 1 << 16
"""Pixels along an edge; torch 2.6 wants every dynamic size bounded."""


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    bytes: int
    """Of all its parts."""
    check: Check | None
    """How it ran beside torch; None where what runs it is not installed."""


def export_onnx(
    network: Network, path: Path, facts: dict[str, str], precision: ExportPrecision = "fp32"
) -> Exported:
    """Write a network as ONNX.

    Args:
        network: on the CPU, in float32.
        path: the file; replaced if it is there.
        facts: what its metadata say, see `model_facts`.
        precision: of the stored weights; the arithmetic is float32, unless what runs the file
            chooses another.

    Raises:
        UsageError: a package is missing, or the network is a DAVID-X.
        OutputError: the file cannot be written.
        DavidError: it does not compute what torch does.
    """
    need_packages("--onnx", "onnx", "onnx", "onnxscript")
    with _published(path) as draft:
        draft.write_bytes(_onnx(network, facts, precision))
        check = check_onnx(draft, network, precision) if find_spec("onnxruntime") else None
    return Exported(path, path.stat().st_size, check)


def export_openvino(
    network: Network, path: Path, facts: dict[str, str], precision: ExportPrecision = "fp32"
) -> Exported:
    """Write a network as OpenVINO's ``.xml``, and its weights as ``.bin`` beside it.

    Args:
        network: on the CPU, in float32.
        path: the ``.xml``; both are replaced if they are there.
        facts: what its runtime information says, see `model_facts`.
        precision: of the stored weights; OpenVINO chooses that of the arithmetic by itself.

    Raises:
        UsageError: a package is missing, or the network is a DAVID-X.
        OutputError: the file cannot be written.
        DavidError: it does not compute what torch does.
    """
    need_packages("--openvino", "onnx,openvino", "onnx", "onnxscript", "openvino")
    import openvino

    model = openvino.Core().read_model(_onnx(network, facts, "fp32"))
    for name, value in facts.items():
        model.set_rt_info(value, ["david", name])
    with _published(path) as draft:
        openvino.save_model(model, draft, compress_to_fp16=precision == "fp16")
        check = check_openvino(draft, network, precision)
    size = sum(part.stat().st_size for part in (path, path.with_suffix(".bin")))
    return Exported(path, size, check)


def model_facts(model: WeightsInfo) -> dict[str, str]:
    """What the metadata of an exported file say of its weights."""
    facts = {
        "model": model.name,
        "sha256": checksum(model.path),
        "network": kind_of(model.config),
        "config": json.dumps(model.config.to_dict()),
        "frames": str(model.config.frames),
        "levels": ",".join(model.gain),
        "gain_db": json.dumps(model.gain),
        "david": __version__,
        "contract": f"{INPUT} (B, {model.config.frames}, 3, H, W) float32, RGB in [0, 1], the "
        f"centre frame in the middle -> {OUTPUT} (B, 3, H, W) float32, not clipped",
    }
    is_shipped = any(model.path == shipped.path for shipped in shipped_models())
    return {**facts, "licence": LICENCE} if is_shipped else facts


def need_packages(option: str, extra: str, *modules: str) -> None:
    """Refuse what cannot be done without packages that are not installed.

    Raises:
        UsageError: it names the extra that brings them.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UsageError(f"{option} needs {', '.join(missing)}: pip install 'david-cli[{extra}]'")


class _Whole(nn.Module):
    """A network with its padding written so that sizes stay symbols when it is traced.

    ``F.pad`` and slices ask whether there is anything to do, which ties the graph to the size that
    it was traced with; picking rows and columns by index asks nothing.
    """

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, window: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, 3, H, W)."""
        (H, W), stride = window.shape[-2:], self.network.total_stride
        rows, columns = _clamped(H, stride), _clamped(W, stride)
        sharp: Tensor = self.network(window.index_select(3, rows).index_select(4, columns))
        return sharp.index_select(2, torch.arange(H)).index_select(3, torch.arange(W))


def _clamped(size: int, stride: int) -> Tensor:
    """0 .. size - 1, and the last one repeated up to a multiple of ``stride``."""
    return torch.arange((size + stride - 1) // stride * stride).clamp(max=size - 1)


def _onnx(network: Network, facts: dict[str, str], precision: ExportPrecision) -> bytes:
    """The file's content."""
    if isinstance(network, DavidX):
        raise UsageError(
            "david-x cannot be exported: how it measures motion depends on the size of a frame; "
            "export david-lite or david"
        )
    frames, stride = network.config.frames, network.total_stride
    size = {"min": stride + 1, "max": _LONGEST}  # sizes of one stride and less come out right too
    sizes = {
        0: torch.export.Dim("batch", max=_LONGEST),
        3: torch.export.Dim("height", **size),
        4: torch.export.Dim("width", **size),
    }
    # sizes that no other dimension has: torch 2.6 takes equal ones for the same one
    example = torch.zeros(2, frames, 3, 11 * stride, 13 * stride)
    with _quiet():
        traced = torch.export.export(
            _Whole(network).eval(), (example,), dynamic_shapes=(sizes,), strict=False
        )
        program: Any = torch.onnx.export(
            traced, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
    model = program.model_proto
    if precision == "fp16":
        _halve_weights(model.graph)
    _describe(model, frames, facts)
    return bytes(model.SerializeToString())


def _describe(model: Any, frames: int, facts: dict[str, str]) -> None:
    """Name the sizes as people read them, and tell the facts instead of where we were traced."""
    import onnx

    names = {
        INPUT: ("batch", frames, 3, "height", "width"),
        OUTPUT: ("batch", 3, "height", "width"),
    }
    for value in (*model.graph.input, *model.graph.output):
        shape = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, names[value.name])
        value.type.CopyFrom(shape)
    for part in (*model.graph.node, *model.graph.value_info, model.graph):
        part.ClearField("metadata_props")
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = "david", __version__
    model.doc_string = facts.get("contract", "")


def _halve_weights(graph: Any) -> None:
    """Store weights as float16, each followed by a cast that runtimes do once, when they load."""
    import onnx
    from onnx import numpy_helper

    for weight in graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1:
            name, half = weight.name, f"{weight.name}.half"
            values = numpy_helper.to_array(weight).astype("float16")
            weight.CopyFrom(numpy_helper.from_array(values, half))
            cast = onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT)
            graph.node.insert(0, cast)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter tells its developers."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx", "onnxscript", "onnx_ir")]
    before = [log.level for log in logs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for log in logs:
            log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for log, level in zip(logs, before, strict=True):
                log.setLevel(level)


@contextmanager
def _published(path: Path) -> Iterator[Path]:
    """A draft of ``path`` in a folder beside it; all that is in there gets its name at the end."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            yield Path(folder) / path.name
            for part in sorted(Path(folder).iterdir()):  # .bin before .xml, which needs it
                os.replace(part, path.parent / part.name)
    except OSError as err:
        raise OutputError(f"{path} cannot be written: {err.strerror or err}") from err
