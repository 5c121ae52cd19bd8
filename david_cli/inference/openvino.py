"""The OpenVINO engine: David on a CPU by Intel's runtime, which also runs on AMD's and Arm's.

    frame (B, 3, H, W) -> enter -> features (B, 3 r^2, h, w), channels last, as `FastNetwork` has it
    features of T frames -> change -> (B, 3, h r, w r), what to add to the centre

The extra ``openvino`` brings the package. Nothing is written to disk.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from david_cli.errors import DeviceError, UsageError
from david_cli.inference.device import Precision
from david_cli.network.david import pad_to
from david_cli.network.fast import is_fast, unshuffled

KEPT_SHAPES = 6
"""Compiled graphs that are kept: one per shape of tile, of which a frame has four at most."""
_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_CAPABILITIES = {"fp16": "FP16", "bf16": "BF16"}


def is_installed() -> bool:
    """Whether the package is there; it is not imported for that."""
    return find_spec("openvino") is not None


class OpenVinoNetwork:
    """A David network compiled by OpenVINO for the CPU.

    Safe to call from several threads at once. A call computes with as many threads as torch would
    use in the thread that calls; all together with as many as torch uses in the one that made this.

    Args:
        network: what `is_fast` accepts.
        precision: of the arithmetic; ``bf16`` and ``fp16`` where the CPU has them.

    Raises:
        UsageError: OpenVINO is not installed, or the network is no DAVID.
        DeviceError: the CPU lacks the precision.
    """

    def __init__(self, network: object, precision: Precision = "fp32"):
        if not is_installed():
            raise UsageError("--engine openvino needs OpenVINO: pip install 'david-cli[openvino]'")
        if not is_fast(network):
            raise UsageError("--engine openvino runs DAVID models only: use --engine torch")
        import openvino

        from david_cli.inference.openvino_graph import change_model

        self._core = openvino.Core()
        _check_precision(self._core, precision)
        self._hint = _HINTS[precision]
        self._model = change_model(network)
        self.stride, self.unshuffle = network.total_stride, network.config.unshuffle
        self._threads = torch.get_num_threads()
        self._compiled: OrderedDict[tuple[int, ...], _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def enter(self, frames: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3 r^2, H' / r, W' / r) float32, channels last.

        H' and W' are H and W rounded up to the total stride.
        """
        return unshuffled(pad_to(frames[:, None], self.stride)[:, 0], self.unshuffle)

    def change(self, window: Sequence[Tensor]) -> Tensor:
        """(B, C, h, w) features of T frames -> (B, 3, h r, w r) float32, not clipped."""
        rows = [x.permute(0, 2, 3, 1).contiguous() for x in window]  # (B, h, w, C); rarely copied
        B, h, w, _ = rows[0].shape
        change = torch.empty(B, 3, h * self.unshuffle, w * self.unshuffle)
        self._compiled_for(rows[0].shape).run(rows, change)
        return change

    def _compiled_for(self, shape: Sequence[int]) -> _Compiled:
        """The graph for one shape of frames and the threads of this thread; the oldest goes."""
        each = min(torch.get_num_threads(), self._threads)
        key = (*shape, each)
        with self._lock:
            found = self._compiled.pop(key, None) or self._compile(shape, each)
            self._compiled[key] = found
            if len(self._compiled) > KEPT_SHAPES:
                self._compiled.popitem(last=False)
        return found

    def _compile(self, shape: Sequence[int], threads: int) -> _Compiled:
        streams = max(1, self._threads // threads)
        settings = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": streams * threads,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # decoder and encoder run beside it
        }
        model = self._model.clone()
        model.reshape({i: list(shape) for i in range(len(model.inputs))})
        return _Compiled(self._core.compile_model(model, "CPU", settings))


class _Compiled:
    """A graph for one shape, with a request for each thread that is inside at the same time."""

    def __init__(self, model: Any):
        self._model = model
        self._idle: list[Any] = []

    def run(self, inputs: Sequence[Tensor], output: Tensor) -> None:
        """Compute, from memory to memory: both are used as they lie, contiguous."""
        import openvino

        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        for i, given in enumerate(inputs):
            request.set_input_tensor(i, openvino.Tensor(given.numpy(), shared_memory=True))
        request.set_output_tensor(openvino.Tensor(output.numpy(), shared_memory=True))
        request.infer()
        self._idle.append(request)


def _check_precision(core: Any, precision: Precision) -> None:
    """Refuse what OpenVINO would silently replace by another.

    Raises:
        DeviceError: the CPU lacks it.
    """
    needed = _CAPABILITIES.get(precision)
    if needed and needed not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise DeviceError(f"this CPU has no {precision} for OpenVINO: choose --precision fp32")
