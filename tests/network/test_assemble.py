"""Larger models from trained parts: what is copied, what is sliced, where attention starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from david_cli.evaluation.pairs import find_clips, read_picture
from david_cli.metrics import psnr
from david_cli.network.assemble import assemble
from david_cli.network.david import David, DavidConfig
from david_cli.network.weights import load_david
from tests.network.test_david import SINGLE, TINY, randomised


@pytest.mark.parametrize("config", [TINY, replace(TINY, branches=(7,)), replace(TINY, modules=1)])
def test_an_assembled_model_agrees_with_its_branch(config: DavidConfig) -> None:
    branch = randomised(SINGLE)
    model = assemble([branch], config)
    window = torch.rand(1, 7, 3, 32, 32)
    with torch.inference_mode():
        difference = (model(window) - branch(window)).abs().max().item()
    assert difference < 1e-3  # exp(-10) of the weight is left to untrained slices


@pytest.mark.weights
def test_a_david_assembled_from_the_shipped_branch_restores_as_it_does() -> None:
    """Within 0.01 dB on a real frame before the first step, though narrower branches are slices."""
    branch = load_david("david-lite")
    dual = replace(branch.config, modules=3, branches=(1, 3, 5, 7))
    clip = find_clips(Path(__file__).parents[2] / "examples" / "pairs", [11])[0]
    crop = (..., slice(40, 136), slice(60, 156))
    frames = torch.stack([read_picture(path) for path in clip.blurry[:7]])[crop]
    truth = read_picture(clip.sharp[3])[crop]
    with torch.inference_mode():
        alone, assembled = (
            psnr(net(frames[None])[0], truth) for net in (branch, assemble([branch], dual).eval())
        )
    assert alone > psnr(frames[3], truth) + 0.5  # it does something here
    assert assembled == pytest.approx(alone, abs=0.01)


def test_assembling_slices_the_first_convolution_to_the_central_frames() -> None:
    branch = randomised(SINGLE)
    first = branch.modules_by_level[0].branches[0].unet.encoder[0].enter.weight
    model = assemble([branch], TINY)
    three = model.modules_by_level[1].branches[1].unet.encoder[0].enter.weight
    assert torch.equal(three, first[:, 2 * 12 : 5 * 12])


def test_each_module_may_start_from_its_own_branch() -> None:
    branches = [randomised(SINGLE, seed) for seed in range(3)]
    model = assemble(branches, TINY)
    firsts = [m.branches[-1].unet.encoder[0].enter.weight for m in model.modules_by_level]
    for branch, first in zip(branches, firsts, strict=True):
        assert torch.equal(
            branch.modules_by_level[0].branches[0].unet.encoder[0].enter.weight, first
        )
    window = torch.rand(1, 7, 3, 16, 16)
    with torch.inference_mode():
        mean = torch.stack([branch(window) for branch in branches]).mean(0)
        torch.testing.assert_close(model(window), mean, atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="one per module"):
        assemble(branches[:2], TINY)


def test_attention_starts_from_the_features_of_the_branch() -> None:
    branch = randomised(SINGLE)
    wide = replace(TINY, attention_widths=SINGLE.widths[:2])
    source = branch.levels()[0].restorers()[0].unet.state_dict()
    model = assemble([branch], wide)
    for attention in (model.external, *(m.attention for m in model.levels())):
        assert attention is not None
        state = attention.unet.state_dict()
        assert all(torch.equal(source[k], v) for k, v in state.items() if not k.startswith("last."))


def test_a_dual_takes_over_a_trained_external_attention() -> None:
    external = randomised(replace(TINY, branches=(7,)))
    model = assemble([external], TINY)
    window = torch.rand(1, 7, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model(window), external(window), atol=1e-3, rtol=0)


def test_modules_and_external_attention_may_come_from_different_models() -> None:
    external, single = randomised(replace(TINY, branches=(7,))), randomised(SINGLE, 5)
    config = replace(TINY, branches=(7,))
    model = assemble([external, external, single], config)
    sources = [external.levels()[0], external.levels()[1], single.levels()[0]]
    for module, source in zip(model.levels(), sources, strict=True):
        branch, origin = module.restorers()[0].state_dict(), source.restorers()[0].state_dict()
        assert all(torch.equal(branch[name], origin[name]) for name in origin)
    assert model.external is not None
    assert torch.equal(model.external.unet.last.weight, external.external.unet.last.weight)


def test_assembling_refuses_a_narrower_model() -> None:
    with pytest.raises(ValueError, match="cannot be widened"):
        assemble([David(SINGLE)], replace(TINY, widths=(4, 5, 8)))
