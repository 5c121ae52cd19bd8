"""Numbers that FFmpeg's filters give, against sums done by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from david_cli.metrics import IDENTICAL
from david_cli.video.frame import ColorSpec, Frame, PixelFormat
from david_cli.video.quality import Quality, QualityMeter, overall

FORMATS = ["yuv420p", "yuv422p10le", "yuv444p", "gray", "gbrp", "yuva420p", "yuv420p12le"]
RATE = Fraction(25)


def ramp(name: str, width: int = 64, height: int = 48) -> Frame:
    """A picture with edges in every plane."""
    format = PixelFormat.parse(name)
    top = (1 << format.bits) - 1
    planes = []
    for rows, columns in format.plane_shapes(width, height):
        y, x = np.mgrid[:rows, :columns]
        planes.append(((x // 5 + y // 7) % 4 * top // 8 + top // 4).astype(format.dtype))
    return Frame(tuple(planes), format, ColorSpec(1, 1, 1, 1), 0, 1, Fraction(1, 25))


def noisy(frame: Frame, amount: float, seed: int = 3) -> Frame:
    rng, top = np.random.default_rng(seed), (1 << frame.format.bits) - 1
    luma = frame.planes[0] + rng.normal(0, amount * top, frame.planes[0].shape)
    codes = np.clip(np.rint(luma), 0, top).astype(frame.format.dtype)
    return replace(frame, planes=(codes, *frame.planes[1:]))


def psnr_by_hand(pairs: Sequence[tuple[Frame, Frame]]) -> float:
    """From the mean squared error of luma over all frames."""
    peak = (1 << pairs[0][0].format.bits) - 1
    error = np.mean([np.square(a.planes[0] - b.planes[0].astype(float)).mean() for a, b in pairs])
    return float(10 * math.log10(peak**2 / error))


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_the_same_is_identical_and_noise_costs(name: str) -> None:
    frame = ramp(name)
    meter = QualityMeter(frame, RATE)
    assert meter.measure(frame, frame) == Quality(IDENTICAL, 1.0, IDENTICAL)
    found = [meter.measure(noisy(frame, amount), frame) for amount in (0.01, 0.05)]
    for metric in ("psnr", "ssim", "xpsnr"):
        light, heavy = (getattr(quality, metric) for quality in found)
        assert light > heavy > 0


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le"])
def test_psnr_is_that_of_luma_and_sums_up_by_squared_errors(name: str) -> None:
    frame = ramp(name)
    pairs = [(noisy(frame, amount, seed), frame) for seed, amount in enumerate((0.01, 0.02, 0.08))]
    meter = QualityMeter(frame, None)
    found = [meter.measure(*pair) for pair in pairs]
    for quality, pair in zip(found, pairs, strict=True):
        assert quality.psnr == pytest.approx(psnr_by_hand([pair]), abs=0.01)
    assert overall(found).psnr == pytest.approx(psnr_by_hand(pairs), abs=0.01)
    assert overall(found).ssim == pytest.approx(np.mean([quality.ssim for quality in found]))
    errors = [10 ** (-quality.xpsnr / 20) for quality in found]
    assert overall(found).xpsnr == pytest.approx(-20 * math.log10(np.mean(errors)))


def test_ssim_is_near_an_independent_one() -> None:
    frame = ramp("yuv420p", 160, 128)
    other = noisy(frame, 0.03)
    found = QualityMeter(frame, RATE).measure(other, frame).ssim
    truth = structural_similarity(frame.planes[0], other.planes[0], data_range=255, win_size=7)
    assert found == pytest.approx(truth, abs=0.03)


def test_another_format_is_compared_in_that_of_the_reference() -> None:
    reference, result = ramp("yuv420p"), ramp("yuv420p10le")
    result = replace(result, planes=tuple(p.astype(np.uint16) * 4 for p in reference.planes))
    assert QualityMeter(reference, RATE).measure(result, reference).psnr > 50


def test_xpsnr_looks_further_back_at_high_rates() -> None:
    """As FFmpeg's command line does, which tells the filter the rate."""
    frames = [noisy(ramp("yuv420p"), 0.2, seed) for seed in range(3)]
    found = []
    for rate in (25, 50):
        meter = QualityMeter(frames[0], Fraction(rate))
        found.append([meter.measure(noisy(f, 0.02), f).xpsnr for f in frames][-1])
    assert found[0] != found[1]
