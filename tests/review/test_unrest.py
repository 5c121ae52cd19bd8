"""Flicker is measured where the source stands still, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from david_cli.review.unrest import unrest


def picture(seed: int = 1, height: int = 40, width: int = 64) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_what_stands_still_in_both_is_zero() -> None:
    one = picture()
    assert unrest((one, one / 2), (one, one / 2)) == (0, 0)


def test_a_result_that_shimmers_by_two_codes_says_so() -> None:
    one = picture()
    found = unrest((one, one), (one, one + 2 / 255))
    assert found == pytest.approx((0, 2), abs=1e-3)


def test_what_moves_in_the_source_does_not_count() -> None:
    one, other = picture(), picture(2)
    moved = one.clone()
    moved[..., 32:] = other[..., 32:]
    assert unrest((one, one), (moved, moved)) == (0, 0)


@pytest.mark.parametrize("size", [(40, 64), (8, 300), (1, 1), (17, 31)])
def test_nothing_still_is_no_number(size: tuple[int, int]) -> None:
    black = torch.zeros(3, *size)
    assert unrest((black, black), (black + 0.5, black)) is None
    assert unrest((black, black), (black, black + 1 / 255)) == pytest.approx((0, 1), abs=1e-3)


def test_noise_of_a_camera_still_stands_still() -> None:
    noise = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(3)) * 3 / 255
    quiet = torch.zeros(3, 160, 160)
    found = unrest((quiet + noise[0], quiet), (quiet + noise[1], quiet))
    assert found is not None
    assert found[0] == pytest.approx(3 * 2 / torch.pi**0.5, rel=0.05)
    assert found[1] == 0
