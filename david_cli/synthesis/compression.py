"""What JPEG does to a picture, in torch: a share of the training inputs has been compressed.

Colours are rotated to YCbCr, chroma is halved if wanted, blocks of 8x8 go through the discrete
cosine transform, and its coefficients are rounded to multiples of the tables in Annex K of the
standard (ITU-T T.81), scaled by quality as the Independent JPEG Group's encoder does. Entropy
coding, which loses nothing, is left out. Runs on any device, on a batch of mixed qualities.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

QUALITIES = (50, 95)
"""Of the samples that are compressed, the worst and the best."""
BLOCK = 8
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)  # Table K.1
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)  # Table K.2
_TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)  # JFIF, with chroma around 0
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def compress(pictures: Tensor, quality: Tensor, *, halve_chroma: bool = True) -> Tensor:
    """What is left of pictures after JPEG.

    Args:
        pictures: (N, 3, H, W) RGB in [0, 1], any H and W.
        quality: (N,) 1 to 100, as libjpeg counts it.
        halve_chroma: 4:2:0 instead of 4:4:4.

    Returns:
        (N, 3, H, W) in [0, 1], in steps of 1/255.
    """
    H, W = pictures.shape[-2:]
    step = BLOCK * (2 if halve_chroma else 1)
    padded = F.pad(pictures, (0, -W % step, 0, -H % step), mode="replicate")
    ycbcr = _rotate((padded * 255).round(), _TO_YCBCR).round()
    luma, chroma = ycbcr[:, :1] - 128, ycbcr[:, 1:]
    if halve_chroma:
        chroma = F.avg_pool2d(chroma, 2).round()
    luma = _quantise(luma, quantisation_table(_LUMA, quality))
    chroma = _quantise(chroma, quantisation_table(_CHROMA, quality))
    if halve_chroma:
        chroma = F.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False)
    rgb = _rotate(torch.cat((luma + 128, chroma), 1), _TO_RGB)
    return rgb[..., :H, :W].round().clamp(0, 255) / 255


def quantisation_table(base: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """(N, 1, 1, 1, 8, 8) step of every coefficient at each of N qualities."""
    table = torch.tensor(base, dtype=torch.float32, device=quality.device)
    quality = quality.float()[:, None, None]
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = ((table * scale + 50) / 100).floor().clamp(1, 255)
    return steps[:, None, None, None]


def _quantise(planes: Tensor, table: Tensor) -> Tensor:
    """(N, C, H, W) around 0, H and W multiples of 8, with coefficients in steps of ``table``."""
    N, C, H, W = planes.shape
    blocks = planes.reshape(N, C, H // BLOCK, BLOCK, W // BLOCK, BLOCK).transpose(3, 4)
    transform = _cosines(planes.device)
    coefficients = transform @ blocks @ transform.T  # (N, C, H / 8, W / 8, 8, 8)
    coefficients = (coefficients / table).round() * table
    blocks = (transform.T @ coefficients @ transform).round()
    return blocks.transpose(3, 4).reshape(N, C, H, W)


@cache
def _cosines(device: torch.device) -> Tensor:
    """The orthonormal 8x8 matrix of the discrete cosine transform."""
    k = torch.arange(BLOCK, dtype=torch.float64)
    matrix = (math.pi * k[:, None] * (2 * k + 1) / (2 * BLOCK)).cos() * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix.float().to(device)


def _rotate(pictures: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    rows = torch.tensor(matrix, device=pictures.device)
    return torch.einsum("ij,njhw->nihw", rows, pictures)
