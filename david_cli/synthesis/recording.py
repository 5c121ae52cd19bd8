"""From averaged light to the bytes that a sample stores: sensor noise and a real JPEG encoder."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from david_cli.synthesis.chance import draw, happens
from david_cli.synthesis.compression import QUALITIES
from david_cli.synthesis.exposure import MOST_READ_NOISE, MOST_SHOT_NOISE, add_noise


def record(
    blurry: Tensor, g: torch.Generator, *, noise_share: float, compression_share: float
) -> Tensor:
    """(T, 3, S, S) in [0, 1] -> uint8, with noise and compression if chance wants them."""
    if happens(noise_share, g):
        strength = torch.rand(2, generator=g)
        read, shot = strength[0].item() * MOST_READ_NOISE, strength[1].item() * MOST_SHOT_NOISE
        blurry = add_noise(blurry, read, shot, g)
    stored = to_bytes(blurry)
    if happens(compression_share, g):
        worst, best = QUALITIES
        quality = worst + draw(best - worst + 1, g)
        stored = torch.stack([_through_jpeg(frame, quality) for frame in stored])
    return stored


def to_bytes(x: Tensor) -> Tensor:
    """[0, 1] -> uint8, rounded."""
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def _through_jpeg(frame: Tensor, quality: int) -> Tensor:
    """(3, S, S) uint8 after a JPEG encoder with 4:2:0 chroma."""
    data = io.BytesIO()
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(data, "JPEG", quality=quality)
    with Image.open(data) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
