"""The network's promises: structure as in the paper, identity at the start, any size, any dtype."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from david_cli.network.build import count_gmacs, count_parameters
from david_cli.network.david import (
    DAVID,
    DAVID_LITE,
    PAPER_LAYOUT,
    David,
    DavidConfig,
    UNet,
)

TINY = DavidConfig(widths=(4, 6, 8), attention_widths=(4, 4, 4))
SINGLE = replace(TINY, modules=1, branches=(7,))
ABLATION = {
    "single": SINGLE,
    "internal": replace(TINY, modules=1),
    "external": replace(TINY, branches=(7,)),
    "dual": TINY,
    "paper": replace(PAPER_LAYOUT, widths=(2, 2, 3, 3, 4), attention_widths=(2, 2, 3)),
    "raw maps": replace(TINY, softmax=False),
}


def randomised(config: DavidConfig, seed: int = 0) -> David:
    """A network whose every tensor matters: nothing is left at zero."""
    torch.manual_seed(seed)
    network = David(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def test_a_branch_of_the_paper_has_20_convolutions_and_attention_12() -> None:
    def convolutions(widths: tuple[int, ...]) -> int:
        unet = UNet(21, 3, widths, PAPER_LAYOUT)
        return sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in unet.modules())

    assert convolutions(PAPER_LAYOUT.widths) == 20
    assert convolutions(PAPER_LAYOUT.attention_widths) == 12


def test_dual_attention_has_twelve_branches_and_four_attention_networks() -> None:
    network = David(DAVID)
    names = [type(m).__name__ for m in network.modules()]
    assert names.count("Branch") == 12
    assert names.count("Attention") == 4
    assert [b.frames for m in network.modules_by_level for b in m.branches] == [1, 3, 5, 7] * 3


def test_the_shipped_models_keep_their_budgets() -> None:
    assert count_gmacs(DAVID) <= 45
    assert count_parameters(DAVID) <= 12e6
    assert count_gmacs(DAVID_LITE) <= 2
    assert count_parameters(DAVID_LITE) <= 2e6


@pytest.mark.parametrize("config", ABLATION.values(), ids=ABLATION.keys())
def test_an_untrained_network_is_the_identity(config: DavidConfig) -> None:
    torch.manual_seed(0)
    window = torch.rand(2, 7, 3, 16, 16)
    with torch.inference_mode():
        restored = David(config)(window)
    torch.testing.assert_close(restored, window[:, 3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", ABLATION.values(), ids=ABLATION.keys())
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (17, 16), (33, 50)])
def test_any_frame_size_works(config: DavidConfig, size: tuple[int, int]) -> None:
    window = torch.rand(1, 7, 3, *size)
    with torch.inference_mode():
        restored = randomised(config)(window)
    assert restored.shape == (1, 3, *size)
    assert restored.isfinite().all()


def test_padding_does_not_change_the_picture_far_from_it() -> None:
    network = randomised(SINGLE)
    window = torch.rand(1, 7, 3, 96, 96)
    with torch.inference_mode():
        whole, cropped = network(window), network(window[..., :90, :90])
    assert not torch.equal(whole[..., :90, :90], cropped)
    torch.testing.assert_close(whole[..., :40, :40], cropped[..., :40, :40], atol=1e-6, rtol=0)


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_a_branch_sees_its_central_frames_and_no_others(frames: int) -> None:
    network = randomised(replace(TINY, modules=1, branches=(frames,)))
    window = torch.rand(1, 7, 3, 16, 16)
    hidden = (7 - frames) // 2
    outer, inner = window.clone(), window.clone()
    outer[:, :hidden] = 0
    outer[:, 7 - hidden :] = 0
    inner[:, hidden] = 0
    with torch.inference_mode():
        restored = network(window)
        assert torch.equal(restored, network(outer))
        assert not torch.equal(restored, network(inner))


def test_internal_and_external_attention_are_the_papers_equations() -> None:
    """Eq. 1 and 2, worked out here from the parts."""
    network = randomised(TINY)
    window = torch.rand(1, 7, 3, 16, 16)
    frames = torch.nn.functional.pixel_unshuffle(window, 2)
    with torch.inference_mode():
        explained = network.explain(window)
        assert explained.external is not None
        expected = torch.zeros(1, 3, 16, 16)
        for n, module in enumerate(network.modules_by_level):
            maps = explained.internal[n]
            assert maps is not None
            for i, branch in enumerate(module.branches):
                restored = torch.nn.functional.pixel_shuffle(branch(frames), 2)
                expected += explained.external[:, n : n + 1] * maps[:, i : i + 1] * restored
    torch.testing.assert_close(explained.output, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(explained.external.sum(1), torch.ones(1, 16, 16))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 3e-2)])
def test_half_precisions_agree_with_float32(dtype: torch.dtype, tolerance: float) -> None:
    network = randomised(TINY)
    window = torch.rand(1, 7, 3, 32, 32)
    with torch.inference_mode():
        exact = network(window)
        rough = network.to(dtype)(window.to(dtype)).float()
    torch.testing.assert_close(rough, exact, atol=tolerance, rtol=0)


def test_a_configuration_survives_json_and_refuses_unknown_settings() -> None:
    assert DavidConfig.from_dict(PAPER_LAYOUT.to_dict()) == PAPER_LAYOUT
    with pytest.raises(ValueError, match="widht"):
        DavidConfig.from_dict({"widht": [1]})


@pytest.mark.parametrize(
    "wrong",
    [
        *({"branches": (2,)}, {"branches": (9,)}, {"branches": ()}, {"branches": (3, 3)}),
        *({"branches": (-1, 3)}, {"frames": -1, "branches": (-3,)}, {"widths": (4, 0)}),
        *({"modules": 0}, {"unshuffle": 0}, {"leak": 1.0}, {"leak": -0.1}, {"leak": float("nan")}),
        *({"block": "resdual"}, {"down": "stride"}, {"skip": "sum"}),
    ],
)
def test_impossible_configurations_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        DavidConfig(**wrong)
