"""PSNR and SSIM against scikit-image, which knows nothing of ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from david_cli.metrics import IDENTICAL, psnr, ssim


@pytest.mark.parametrize("shape", [(3, 24, 40), (1, 11, 11)])
def test_metrics_equal_scikit_images(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    a = rng.random(shape)
    b = np.clip(a + 0.1 * rng.standard_normal(shape), 0, 1)
    ours = psnr(torch.from_numpy(a), torch.from_numpy(b))
    assert ours == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1.0))
    expected = structural_similarity(
        a, b, channel_axis=0, data_range=1.0, gaussian_weights=True, use_sample_covariance=False
    )
    assert ssim(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, abs=1e-6)


def test_identical_pictures() -> None:
    a = torch.rand(3, 16, 16)
    assert psnr(a, a) == IDENTICAL
    assert ssim(a, a) == pytest.approx(1)
