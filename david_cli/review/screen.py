"""Frames as a person sees them: upright, in square pixels, in what an ordinary screen can show."""

from __future__ import annotations

import torch
from torch import Tensor

from david_cli.drawing import resized, turned
from david_cli.transfer import HLG, PQ, to_learned_range, to_screen_light
from david_cli.video.color import planes_to_rgb, to_tensors
from david_cli.video.frame import Frame, VideoInfo

_BT2020 = 9
"""H.273 primaries."""
_TO_BT709 = torch.tensor(  # ITU-R BT.2087-0, M2 inverted
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
_KNEE = 0.6
"""Light, of an ordinary screen's white, up to which HDR is shown as it is."""
_HIGHEST = 5.0
"""Light that becomes white: 1000 cd/m2, where white is 203 (ITU-R BT.2408)."""


def seen_by_network(frame: Frame) -> Tensor:
    """(3, H, W) as stored, in the range that the network learned from; sharpness is told by it."""
    rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
    return to_learned_range(rgb, frame.color.transfer)


def on_screen(frame: Frame, info: VideoInfo) -> Tensor:
    """(3, H, W) in [0, 1], as a player shows the frame.

    Args:
        frame: of any format.
        info: of its video, which says how it is turned and stretched.
    """
    rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
    if frame.color.transfer in (PQ, HLG):
        rgb = _standard(rgb, frame.color.transfer, frame.color.primaries)
    return upright(rgb, info).clamp(0, 1)


def upright(picture: Tensor, info: VideoInfo) -> Tensor:
    """(C, H, W) turned and mirrored as its video says, its pixels made square."""
    aspect = float(info.sample_aspect_ratio or 1)
    H, W = picture.shape[-2:]
    if aspect != 1:  # enlarged along one edge, so that no pixel is lost
        size = (H, round(W * aspect)) if aspect > 1 else (round(H / aspect), W)
        picture = resized(picture, *size)
    return turned(picture, info.turn)


def _standard(rgb: Tensor, transfer: int, primaries: int) -> Tensor:
    """HDR for an ordinary screen: its colours, and highlights rolled off instead of cut."""
    light = to_screen_light(rgb, transfer)
    if primaries == _BT2020:
        light = torch.einsum("ij,jhw->ihw", _TO_BT709, light).clamp_min(0)
    peak = light.amax(0, keepdim=True).clamp_min(1e-6)
    light = light * (_rolled_off(peak) / peak)  # of the brightest channel, so that hues stay
    return torch.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light.clamp_min(1e-6).pow(1 / 2.4) - 0.055
    )  # IEC 61966-2-1 (sRGB)


def _rolled_off(light: Tensor) -> Tensor:
    """Itself up to the knee; from there to the highest, Reinhard's curve with a white point."""
    span = 1 - _KNEE
    above = (light - _KNEE).clamp_min(0) / span
    white = (_HIGHEST - _KNEE) / span
    return light.clamp_max(_KNEE) + span * above * (1 + above / white**2) / (1 + above)
