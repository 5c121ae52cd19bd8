"""Neighbours brought onto a reference frame by dense optical flow, where the flow can be trusted.

    frame, reference (3, H, W)  ->  coarse flow there and back  ->  warp  ->  blend  ->  (3, H, W)

The consistent registration of Delbracio and Sapiro ("Hand-held Video Deblurring via Efficient
Fourier Aggregation", IEEE TCI 2015), with the constants of its published implementation (Anger and
Meinhardt-Llopis, IPOL 2017): flow is computed on pictures reduced by three, because at full size it
would bend one blur into the other, and where going forth and back misses the start by a pixel or
more, the reference takes the place of the warped frame. The papers use TV-L1 flow; here it is DIS,
which is fast and in OpenCV's main package.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from david_cli.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

REDUCTION = 3
"""How much smaller the pictures are on which flow is computed."""

SMALLEST = 16
"""Pixels per axis that they keep at least: DIS needs 12."""

TOLERANCE = 1.0
"""Pixels by which the flow forth and back may miss its start."""

MARGIN = 5
"""Radius in pixels of the disk by which the consistent area shrinks."""

SOFTNESS = 5.0
"""Standard deviation in pixels of the Gaussian that softens its edge."""


def has_opencv() -> bool:
    """Whether flow can be computed here."""
    return find_spec("cv2") is not None


def align(frame: Tensor, reference: Tensor, *, consistent: bool = True) -> Tensor:
    """Warp a frame onto a reference.

    Args:
        frame: (3, H, W) RGB in [0, 1].
        reference: the same, of another moment.
        consistent: whether the reference fills the places where the flow is inconsistent or leads
            out of the frame. Without, every pixel is the frame's own, as DBN's alignment has it,
            and edges are repeated.

    Returns:
        (3, H, W) float32 on the CPU; slightly outside of [0, 1] where the cubic overshoots.

    Raises:
        UsageError: OpenCV is not installed.
    """
    frame, reference = frame.detach().float().cpu(), reference.detach().float().cpu()
    there = optical_flow(reference, frame)
    warped = warp(frame, there)
    if not consistent:
        return warped
    back = optical_flow(frame, reference)
    trust = consistency(there, back)
    return trust * warped + (1 - trust) * reference


def align_window(window: Tensor, *, consistent: bool = True) -> Tensor:
    """Warp all frames (T, 3, H, W) onto the centre one, which stays as it is; see ``align``."""
    window = window.detach().float().cpu()
    centre = len(window) // 2
    return torch.stack(
        [
            frame if i == centre else align(frame, window[centre], consistent=consistent)
            for i, frame in enumerate(window)
        ]
    )


def optical_flow(source: Tensor, target: Tensor) -> Tensor:
    """Where each pixel of the source is in the target: (2, H, W), x and y displacement in pixels.

    Raises:
        UsageError: OpenCV is not installed.
    """
    cv2 = _opencv()
    H, W = source.shape[-2:]
    small = max(SMALLEST, round(H / REDUCTION)), max(SMALLEST, round(W / REDUCTION))
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)  # full resolution of the pictures, which are small already
    found = estimator.calc(_grey(source, small), _grey(target, small), None)
    flow = torch.from_numpy(found).permute(2, 0, 1)  # (2, h, w) in small pixels
    flow = flow * torch.tensor([W / small[1], H / small[0]])[:, None, None]
    return F.interpolate(flow[None], (H, W), mode="bicubic", align_corners=False)[0]


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """``picture(x + flow(x))``: (C, H, W) sampled at displacements (2, H, W), cubic."""
    H, W = picture.shape[-2:]
    positions = _positions(flow) / torch.tensor([W, H])[:, None, None]  # pixel centres in (0, 1)
    grid = (2 * positions - 1).permute(1, 2, 0)[None]
    return F.grid_sample(
        picture[None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )[0]


def consistency(there: Tensor, back: Tensor) -> Tensor:
    """How far flow can be trusted: (1, H, W) in [0, 1].

    Args:
        there: (2, H, W) from the reference to the frame.
        back: (2, H, W) from the frame to the reference.
    """
    cv2 = _opencv()
    H, W = there.shape[-2:]
    missed = torch.linalg.vector_norm(there + warp(back, there), dim=0)
    x, y = _positions(there)
    inside = (x > 0) & (x < W) & (y > 0) & (y < H)
    consistent = (inside & (missed < TOLERANCE)).numpy().astype(np.float32)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    soft = cv2.GaussianBlur(cv2.erode(consistent, disk), (0, 0), SOFTNESS)
    trust: Tensor = torch.from_numpy(soft)[None] * inside
    return trust


def _positions(flow: Tensor) -> Tensor:
    """Where the flow (2, H, W) leads: x and y in pixels; the first pixel's centre is at 0.5."""
    H, W = flow.shape[-2:]
    y, x = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    return torch.stack((x, y)) + flow


def _grey(picture: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(3, H, W) -> 8-bit luma of another size, averaged where it is smaller."""
    luma = (picture * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    small = F.interpolate(luma[None, None], size, mode="bilinear", antialias=True)[0, 0]
    codes: NDArray[np.uint8] = (small.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return codes


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as err:
        raise UsageError(
            "aligning frames by optical flow needs OpenCV: pip install 'david-cli[flow]'"
        ) from err
    return cv2
