"""The losses, on numbers that can be checked by hand."""

from __future__ import annotations

import pytest
import torch

from david_cli.training.losses import (
    choice_loss,
    loss_of,
    module_loss,
    module_of_blur,
    module_of_level,
)


def test_the_level_of_15_belongs_to_the_last_module() -> None:
    external = torch.tensor([[0.2, 0.3, 0.5]]).reshape(1, 3, 1, 1).expand(4, -1, 2, 2)
    for level, weight in ((3, 0.2), (7, 0.3), (11, 0.5), (15, 0.5)):
        module = module_of_level(torch.full((4,), level, dtype=torch.uint8))
        assert module_loss(external, module).exp().item() == pytest.approx(1 / weight, rel=1e-3)


def test_stronger_blur_belongs_to_later_modules() -> None:
    truth = torch.zeros(4, 3, 2, 2)
    blurry = 10 ** (-torch.tensor([100.0, 39.0, 31.0, 20.0]) / 20)  # of these PSNRs
    centre = truth + blurry.reshape(-1, 1, 1, 1)
    assert module_of_blur(centre, truth, (38.0, 30.0)).tolist() == [0, 0, 1, 2]
    assert module_of_blur(centre, truth, (32.0,)).tolist() == [0, 0, 1, 1]


def test_losses() -> None:
    a, b = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.1)
    assert loss_of("l2", a, b).item() == pytest.approx(0.01)
    assert loss_of("charbonnier", a, b).item() == pytest.approx(0.1, rel=1e-3)
    assert loss_of("psnr", a, b).item() == pytest.approx(-20, abs=0.01)


def test_a_lower_floor_counts_light_blur_more() -> None:
    truth = torch.zeros(1, 3, 4, 4)
    before, after = torch.full_like(truth, 2e-3), torch.full_like(truth, 1e-3)  # 54 and 60 dB

    def won(floor: float) -> float:
        first, second = (loss_of("psnr", x, truth, floor=floor) for x in (before, after))
        return (first - second).item()

    assert won(1e-5) < 2 < won(1e-7)


def test_choosing_what_is_good_around_a_pixel_costs_least() -> None:
    torch.manual_seed(0)
    truth = torch.rand(1, 3, 24, 32)
    lost = 0.1 * torch.randn(1, 1, 24, 32)
    centre = truth + lost
    changes = torch.cat((0.5 * lost, -0.5 * lost), 1)  # the second takes half of the error away

    def cost(*logits: float) -> float:
        maps = torch.tensor(logits).float().view(1, 3, 1, 1).expand(-1, -1, 24, 32)
        return choice_loss(maps, changes, centre, truth).item()

    even = cost(0, 0, 0)
    assert cost(0, 0, 6) < 0.1 * even
    assert min(cost(6, 0, 0), cost(0, 6, 0)) > 2 * even


def test_one_candidate_may_be_better_here_and_another_there() -> None:
    truth, lost = torch.zeros(1, 3, 32, 64), torch.ones(1, 1, 32, 64)
    changes = torch.zeros(1, 2, 32, 64)
    changes[:, 0, :, :32], changes[:, 1, :, 32:] = -0.9, -0.9
    logits = torch.zeros(1, 3, 32, 64, requires_grad=True)
    choice_loss(logits, changes, truth + lost, truth).backward()
    assert logits.grad is not None
    left, right = logits.grad[0, :, 16, 8], logits.grad[0, :, 16, 56]
    assert left[1] < 0 < left[2]
    assert right[2] < 0 < right[1]
