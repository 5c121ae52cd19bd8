"""The sharpness of pictures: less after any blur, in whatever direction, noise or not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from david_cli.sharpness import DIRECTIONS, SHARP, SPAN, directional_sharpness, sharpness

SIZES = ((1, 1), (2, 3), (1, 40), (48, 64))


def _scene(seed: int = 0, H: int = 96, W: int = 128) -> Tensor:
    """Overlapping rectangles and discs of random colours: edges in all directions."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    picture = torch.rand(3, 1, 1, generator=g).expand(3, H, W).clone()
    for number in range(60):
        cy, cx, r = (torch.rand(3, generator=g) * torch.tensor([H, W, 16])).tolist()
        inside = (y - cy).abs().maximum((x - cx).abs()) if number % 2 else (y - cy).hypot(x - cx)
        picture[:, inside < r + 3] = torch.rand(3, 1, generator=g)
    return picture


def _moved(picture: Tensor, rows: int, columns: int, length: int) -> Tensor:
    """The mean over ``length`` positions of a camera that moves straight on."""
    steps = [step - length // 2 for step in range(length)]
    shifted = [torch.roll(picture, (rows * s, columns * s), (1, 2)) for s in steps]
    return torch.stack(shifted).mean(0)


def _noisy(picture: Tensor, deviation: float) -> Tensor:
    g = torch.Generator().manual_seed(9)
    return picture + deviation * torch.randn(picture.shape, generator=g)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_longer_motion_in_any_direction_is_less_sharp(
    direction: tuple[int, int], seed: int
) -> None:
    picture = _scene(seed)
    found = [sharpness(_moved(picture, *direction, length)) for length in (1, 3, 5, 9, 15)]
    assert found == sorted(found, reverse=True)
    assert found[0] > SHARP > found[2]
    assert found[0] - found[-1] > 0.3


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_motion_blurs_along_its_own_way(direction: tuple[int, int]) -> None:
    along = directional_sharpness(_moved(_scene(), *direction, 9))
    assert min(along) == along[DIRECTIONS.index(direction)]
    across = DIRECTIONS[DIRECTIONS.index(direction) ^ 1]
    assert along[DIRECTIONS.index(across)] > along[DIRECTIONS.index(direction)] + 0.15


@pytest.mark.parametrize("deviation", [0.005, 0.015])
def test_noise_does_not_pass_for_sharpness(deviation: float) -> None:
    picture = _scene()
    blurred = _moved(picture, 0, 1, 9)
    assert abs(sharpness(_noisy(blurred, deviation)) - sharpness(blurred)) < 0.1
    assert sharpness(_noisy(blurred, deviation)) < SHARP < sharpness(_noisy(picture, deviation))


def test_contrast_and_brightness_do_not_matter() -> None:
    blurred = _moved(_scene(), 1, 0, 5)
    assert sharpness(0.4 * blurred + 0.3) == pytest.approx(sharpness(blurred), abs=0.01)


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_without_structure_is_not_blurred(size: tuple[int, int]) -> None:
    assert sharpness(torch.full((3, *size), 0.3)) == 1.0


@pytest.mark.parametrize("size", SIZES)
def test_any_size_and_values_beyond_white_give_a_share(size: tuple[int, int]) -> None:
    picture = 3 * torch.randn(3, *size, generator=torch.Generator().manual_seed(1))
    assert 0.0 <= sharpness(picture) <= 1.0


def test_a_ramp_is_as_blurred_as_can_be_and_a_lone_step_is_not() -> None:
    ramp = torch.linspace(0, 1, 64).expand(3, 48, 64)
    inside = F.pad(ramp, (8, 8, 0, 0), mode="replicate")
    assert sharpness(inside) < 0.1
    edge = (torch.arange(64) < 32).float().expand(3, 48, 64)
    assert sharpness(edge) > SHARP


def test_the_mean_slope_is_that_of_the_blurred_picture() -> None:
    """The module's shortcut against the plain definition of Crete et al., along rows."""
    from david_cli.sharpness import FLAT, _luma, _smoothed

    luma = _smoothed(_luma(_scene()))
    padded = F.pad(luma[None], (SPAN, SPAN, 0, 0), mode="replicate")
    mean = F.avg_pool2d(padded, (1, SPAN), stride=1)[0]  # (H, W + SPAN + 1)
    step = luma.diff(dim=1, prepend=luma[:, :1]).abs()
    slope = mean.diff(dim=1)[:, SPAN // 2 : SPAN // 2 + luma.shape[1]].abs()
    lone = ((step - slope).clamp_min(0) * step).mean() + FLAT**2
    expected = lone / (step.square().mean() + FLAT**2)
    assert directional_sharpness(_scene())[0] == pytest.approx(float(expected), abs=1e-4)
