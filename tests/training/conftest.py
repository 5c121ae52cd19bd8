"""A pack that can be learnt from in seconds."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from david_cli.synthesis.packs import Pack


@pytest.fixture(scope="session")
def pack() -> Pack:
    """Textures, blurred by a box: something that can be learnt."""
    g = torch.Generator().manual_seed(0)
    sharp = F.interpolate(torch.rand(8, 3, 12, 12, generator=g), (24, 24), mode="bicubic")
    sharp = sharp.clamp(0, 1)
    blurry = F.avg_pool2d(sharp, 3, 1, 1, count_include_pad=False)
    window = blurry[:, None].expand(-1, 7, -1, -1, -1)
    codes = ((255 * t).round().to(torch.uint8) for t in (window, sharp))
    return Pack(*codes, torch.full((8,), 7, dtype=torch.uint8), {})
