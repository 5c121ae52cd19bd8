"""Exported files run beside torch: the same windows through both, and how far apart they are."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from david_cli.errors import DavidError
from david_cli.network.build import Network

ExportPrecision = Literal["fp32", "fp16"]

MOST_DIFFERENT = {"fp32": 1e-3, "fp16": 2e-2}
"""Difference of samples in [0, 1] that rounding does not explain."""

_Run = Callable[[Tensor], Tensor]
"""A window (B, T, 3, H, W) in, (B, 3, H, W) out."""


class Check(NamedTuple):
    """How an exported file ran."""

    runtime: str
    """What ran it, with its version."""
    difference: float
    """The largest difference of a sample to torch's float32 result; samples are in [0, 1]."""


def check_onnx(path: Path, network: Network, precision: ExportPrecision = "fp32") -> Check:
    """Run an ONNX file by ONNX Runtime, on the CPU.

    Raises:
        DavidError: it does not compute what torch does.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (given.name for given in session.get_inputs())

    def run(window: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: window.numpy()})[0])

    runtime = f"ONNX Runtime {version('onnxruntime')}"
    return Check(runtime, _difference(run, network, precision))


def check_openvino(path: Path, network: Network, precision: ExportPrecision = "fp32") -> Check:
    """Run an OpenVINO file on the CPU, in float32.

    Raises:
        DavidError: it does not compute what torch does.
    """
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", exact)

    def run(window: Tensor) -> Tensor:
        return torch.from_numpy(model(window.numpy())[0])

    return Check(f"OpenVINO {version('openvino')}", _difference(run, network, precision))


def _difference(run: _Run, network: Network, precision: ExportPrecision) -> float:
    """The largest one over two batches: a size of whole strides, and a small odd one.

    Raises:
        DavidError: it is larger than rounding explains.
    """
    stride, worst = network.total_stride, 0.0
    for batch, H, W in ((1, 4 * stride, 5 * stride), (2, 3 * stride + 5, stride - 1)):
        window = _test_window(batch, network.config.frames, H, W)
        with torch.inference_mode():
            expected = network(window)
        difference = float((run(window) - expected).abs().max())
        if not difference <= MOST_DIFFERENT[precision]:  # which not-a-number is not, either
            raise DavidError(
                f"the exported network differs from torch's result by {difference:.2g}; nothing "
                "was kept. This is a bug: please report it with the versions of torch and of "
                "the runtime"
            )
        worst = max(worst, difference)
    return worst


def _test_window(batch: int, frames: int, height: int, width: int) -> Tensor:
    """(B, T, 3, H, W) in [0, 1]: soft shapes, which a network takes for blurred ones, and grain."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch * frames, 3, 6, 8, generator=generator)
    soft = F.interpolate(coarse, (height, width), mode="bilinear")
    grain = torch.rand(soft.shape, generator=generator)
    return (0.9 * soft + 0.1 * grain).view(batch, frames, 3, height, width)
