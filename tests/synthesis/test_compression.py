"""The JPEG in torch against a real encoder."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from david_cli.metrics import psnr
from david_cli.synthesis.compression import compress


def photo() -> Tensor:
    """(3, 50, 70) with edges, gradients, colour and a little noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)).resize((70, 50))
    codes = np.array(coarse).astype(int) + rng.integers(-6, 7, (50, 70, 3))
    return torch.from_numpy(codes.clip(0, 255)).permute(2, 0, 1) / 255


def through_pillow(picture: Tensor, quality: int, subsampling: int) -> Tensor:
    data = io.BytesIO()
    codes = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(codes).save(data, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(data) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("halve_chroma", [False, True])
def test_it_loses_what_an_encoder_loses(quality: int, halve_chroma: bool) -> None:
    picture = photo()
    ours = compress(picture[None], torch.tensor([quality]), halve_chroma=halve_chroma)[0]
    theirs = through_pillow(picture, quality, 2 if halve_chroma else 0)
    loss = psnr(theirs, picture)
    assert psnr(ours, picture) == pytest.approx(loss, abs=0.25)
    assert psnr(ours, theirs) > loss + 8  # far nearer to each other than to the original


def test_every_picture_has_its_own_quality() -> None:
    pictures = photo().expand(2, -1, -1, -1)
    bad, good = compress(pictures, torch.tensor([20, 95]))
    assert torch.equal(bad, compress(pictures[:1], torch.tensor([20]))[0])
    assert psnr(good, pictures[0]) > psnr(bad, pictures[0]) + 5


def test_sizes_and_codes_stay() -> None:
    picture = torch.rand(1, 3, 5, 19)
    result = compress(picture, torch.tensor([80]))
    assert result.shape == picture.shape
    torch.testing.assert_close(result * 255, (result * 255).round())
    grey = torch.full((1, 3, 16, 16), 100 / 255)
    torch.testing.assert_close(compress(grey, torch.tensor([50])), grey)
