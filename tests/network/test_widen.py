"""A wider network that begins where a narrower one has got to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from david_cli.network.assemble import assemble
from david_cli.network.david import David, DavidConfig
from david_cli.network.widen import widen
from tests.network.test_david import SINGLE, TINY, randomised


@pytest.mark.parametrize("config", [SINGLE, TINY, replace(TINY, modules=1, softmax=False)])
def test_a_wider_network_gives_the_same_picture(config: DavidConfig) -> None:
    narrow = randomised(config)
    wide = widen(
        narrow,
        replace(
            config,
            widths=tuple(n + 3 + i for i, n in enumerate(config.widths)),
            attention_widths=tuple(2 * n for n in config.attention_widths),
        ),
    )
    window = torch.rand(2, 7, 3, 48, 32)
    with torch.inference_mode():
        expected = narrow(window)
        assert (expected - window[:, 3]).abs().max() > 0.01  # it does something
        torch.testing.assert_close(wide(window), expected, atol=1e-5, rtol=0)


def test_new_channels_see_the_frames_and_learn() -> None:
    config = replace(SINGLE, leak=0.1)  # no unit may be dead
    wide = widen(
        randomised(config), replace(config, widths=tuple(2 * n for n in config.widths))
    ).train()
    window, truth = torch.rand(2, 7, 3, 32, 32), torch.rand(2, 3, 32, 32)
    (wide(window) - truth).square().mean().backward()
    unet = wide.levels()[0].restorers()[0].unet
    rows = SINGLE.widths[0]
    enter = unet.encoder[0].enter.weight
    assert enter[rows:].abs().min() > 0  # drawn at random: no two of them are the same feature
    assert unet.last.weight[:, rows:].abs().max() == 0
    grad = unet.last.weight.grad
    assert grad is not None
    assert (grad[:, rows:].abs().amax((0, 2, 3)) > 0).all()  # what ignores them can take them up


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (SINGLE.widths[0] - 1, *SINGLE.widths[1:])}, "cannot be widened"),
        ({"widths": (*SINGLE.widths, 99)}, "cannot be widened"),
        ({"unshuffle": 1}, "all but its widths"),
        ({"modules": 3}, "all but its widths"),
    ],
)
def test_what_is_no_wider_network_is_refused(change: dict[str, object], message: str) -> None:
    config = DavidConfig.from_dict({**SINGLE.to_dict(), **change})
    with pytest.raises(ValueError, match=message):
        widen(randomised(SINGLE), config)


def test_concatenated_skips_are_refused() -> None:
    config = replace(SINGLE, skip="concat")
    with pytest.raises(ValueError, match="add their skips"):
        widen(David(config), replace(config, widths=tuple(n + 1 for n in config.widths)))


def test_a_model_is_assembled_from_narrower_branches() -> None:
    branch = randomised(SINGLE)
    wider = replace(TINY, widths=tuple(n + 2 for n in TINY.widths))
    model = assemble([branch], wider)
    assert model.config == wider
    window = torch.rand(1, 7, 3, 32, 32)
    with torch.inference_mode():
        assert (model(window) - branch(window)).abs().max() < 1e-3
    with pytest.raises(ValueError, match="cannot be widened"):
        assemble([model], SINGLE)
