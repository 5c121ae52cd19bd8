"""Pictures in memory in, sharp pictures out: for programs that have frames and no file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.loading import load_deblurrer

F = TypeVar("F", Tensor, NDArray[np.uint8])


def deblur_frames(frames: Iterable[F], deblurrer: Deblurrer | None = None) -> Iterator[F]:
    """Turn an iterable of frames into an iterable of sharp frames, lazily, in order.

    Args:
        frames: either (3, H, W) tensors, RGB in [0, 1], or (H, W, 3) uint8 arrays. The size may
            change: a new scene starts there, as it does at a scene cut.
        deblurrer: ``load_deblurrer()`` where None.

    Yields:
        As many frames of the same kind: tensors on their own device, not clipped; arrays rounded.
    """
    deblurrer = deblurrer or load_deblurrer()
    inside: deque[F] = deque()  # those in the window and those in work

    def entering() -> Iterator[Tensor]:
        for frame in frames:
            inside.append(frame)
            yield _as_rgb(frame)

    for restored in deblurrer.stream(entering()):
        yield _like(inside.popleft(), restored)


def _as_rgb(frame: Tensor | NDArray[np.uint8]) -> Tensor:
    """(3, H, W) float32 in [0, 1] of either kind of frame."""
    if isinstance(frame, Tensor):
        return frame.float()
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).float() / 255


def _like(frame: F, restored: Tensor) -> F:
    if isinstance(frame, Tensor):
        # A copy may be changed in place: it is no inference tensor, and no frame in a window.
        return restored.to(frame.device, frame.dtype, copy=True)
    codes = (restored * 255).round().clamp(0, 255).to(torch.uint8)
    return codes.permute(1, 2, 0).contiguous().cpu().numpy()
