"""Alignment by optical flow, on motions that are known."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from david_cli.errors import UsageError
from david_cli.evaluation import flow
from david_cli.metrics import psnr

H, W = 96, 128


def texture(height: int = H, width: int = W, seed: int = 0) -> Tensor:
    """Smooth random structure on three scales, (3, height, width) in [0, 1]."""
    noise = torch.Generator().manual_seed(seed)
    sizes = [(-(-height // n), -(-width // n)) for n in (32, 16, 8)]
    scales = [torch.rand(1, 3, *size, generator=noise) for size in sizes]
    layers = [F.interpolate(s, (height, width), mode="bicubic") for s in scales]
    return torch.stack(layers).mean(0)[0].clamp(0, 1)


def moved(y: int, x: int) -> tuple[Tensor, Tensor]:
    """A picture, and one whose content is ``y`` lower and ``x`` further right."""
    scene = texture(H + 32, W + 32)
    return scene[:, 16 : 16 + H, 16 : 16 + W], scene[:, 16 - y : 16 - y + H, 16 - x : 16 - x + W]


def inner(frame: Tensor) -> Tensor:
    return frame[..., 16:-16, 16:-16]


@pytest.mark.parametrize(("y", "x"), [(0, 5), (-4, 0), (3, -6)])
def test_a_translation_is_found_and_undone(y: int, x: int) -> None:
    reference, frame = moved(y, x)
    found = flow.optical_flow(reference, frame)
    expected = torch.tensor([x, y], dtype=torch.float32)
    assert (inner(found) - expected[:, None, None]).abs().mean() < 0.5
    aligned = flow.align(frame, reference)
    assert psnr(inner(aligned), inner(reference)) > psnr(inner(frame), inner(reference)) + 10


def test_a_frame_aligned_to_itself_stays() -> None:
    frame = texture()
    torch.testing.assert_close(flow.align(frame, frame), frame, atol=1e-3, rtol=0)


def test_warping_samples_where_the_flow_leads() -> None:
    """By whole pixels it is a shift, exactly; half a pixel along a ramp is half its step."""
    picture = texture(40, 50)
    shift = torch.tensor([3.0, -2.0])[:, None, None].expand(2, 40, 50)
    warped = flow.warp(picture, shift)
    torch.testing.assert_close(warped[:, 4:, :-4], picture[:, 2:-2, 3:-1], atol=1e-4, rtol=0)
    ramp = torch.arange(20.0).expand(1, 8, 20)
    half = torch.tensor([0.5, 0.0])[:, None, None].expand(2, 8, 20)
    torch.testing.assert_close(flow.warp(ramp, half)[..., 3:-3], ramp[..., 3:-3] + 0.5)


def test_displacements_are_in_pixels_of_the_frame_on_both_axes() -> None:
    """A low frame is reduced less down than across, to keep the rows that flow needs."""
    reference, frame = (picture[:, 28:68] for picture in moved(2, 7))
    found = flow.optical_flow(reference, frame)[:, 8:-8, 16:-16]
    torch.testing.assert_close(found.mean((1, 2)), torch.tensor([7.0, 2.0]), atol=0.5, rtol=0)


def test_flow_is_consistent_where_it_comes_back_to_its_start() -> None:
    there = torch.zeros(2, H, W)
    there[0] = 32.0
    back = -there
    back[0, :, : W // 2] += 1.5  # misses by more than a pixel: seen 32 pixels further left
    trust = flow.consistency(there, back)
    assert trust.shape == (1, H, W)
    assert trust.min() >= 0 and trust.max() <= 1
    row = trust[0, H // 2]
    assert row[: W // 2 - 32].max() < 0.2
    assert row[W // 2 - 12 : W - 32 - 20].min() > 0.95
    assert (row[W - 32 :] == 0).all()  # leads out of the frame
    still = torch.zeros(2, H, W)
    torch.testing.assert_close(flow.consistency(still, still), torch.ones(1, H, W))


def test_the_reference_stands_in_where_flow_cannot_be_trusted() -> None:
    """Another scene altogether: what is not the reference, at least is not much else."""
    reference, other = texture(seed=1), texture(seed=2)
    blended = flow.align(other, reference)
    warped = flow.align(other, reference, consistent=False)
    assert psnr(blended, reference) > psnr(warped, reference) + 3


def test_a_window_keeps_its_centre_and_every_frame_is_aligned_to_it() -> None:
    reference, before = moved(2, 5)
    _, after = moved(-3, -4)
    window = torch.stack((before, reference, after))
    aligned = flow.align_window(window)
    assert torch.equal(aligned[1], reference)
    for i in (0, 2):
        assert torch.equal(aligned[i], flow.align(window[i], reference))


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 12)])
@pytest.mark.parametrize("consistent", [True, False])
def test_any_frame_size_works(size: tuple[int, int], consistent: bool) -> None:
    window = torch.rand(3, 3, *size)
    aligned = flow.align_window(window, consistent=consistent)
    assert aligned.shape == window.shape
    assert aligned.isfinite().all()


def test_without_opencv_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def no_opencv(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cv2":
            raise ImportError(name)
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_opencv)
    with pytest.raises(UsageError, match=r"pip install 'david-cli\[flow\]'"):
        flow.align(texture(), texture())
