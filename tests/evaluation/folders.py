"""Paired clips painted by hand: frames of one grey each, so that every PSNR is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (16, 24)
GREY = 100


def paint(folder: Path, greys: Sequence[int], size: tuple[int, int] = SIZE) -> Path:
    """Write frames 0000.png ... of these greys; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, grey in enumerate(greys):
        Image.fromarray(np.full((*size, 3), grey, np.uint8)).save(folder / f"{i:04d}.png")
    return folder


def paint_dvd(video: Path, errors: Sequence[int]) -> Path:
    """A video in DVD's layout whose frame i is errors[i] codes too bright."""
    paint(video / "input", [GREY + error for error in errors])
    paint(video / "GT", [GREY] * len(errors))
    return video


def paint_levels(clip: Path, errors: dict[int, Sequence[int]]) -> Path:
    """A clip whose frames at each blur level are that many codes too bright."""
    for level, codes in errors.items():
        paint(clip / f"blur{level:02d}", [GREY + error for error in codes])
        paint(clip / "sharp", [GREY] * len(codes))
    return clip


def psnr_of(error: int) -> float:
    """PSNR in dB of a frame that is everywhere wrong by so many 8-bit codes."""
    return 20 * math.log10(255 / error)
