"""The network arranged for running computes what the network computes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.network import fast
from david_cli.network.david import David, DavidConfig
from david_cli.network.dbn import Dbn, DbnConfig
from david_cli.network.fast import FastNetwork, is_fast, shuffled, unshuffled

TINY = DavidConfig(widths=(4, 8, 8), attention_widths=(4, 8), leak=0.1)
SINGLE = replace(TINY, modules=1, branches=(7,))
CONFIGS = {
    "dual": TINY,
    "single": SINGLE,
    "internal": replace(TINY, modules=1, branches=(3, 7)),
    "external": replace(TINY, branches=(7,)),
    "paper": replace(TINY, unshuffle=1, block="plain", down="maxpool", skip="concat", leak=0.0),
    "unshuffle 4": replace(SINGLE, unshuffle=4),
    "raw single": replace(SINGLE, softmax=False),
    "five frames": replace(SINGLE, frames=5, branches=(5,)),
}


@pytest.fixture(params=CONFIGS)
def network(request: pytest.FixtureRequest) -> David:
    return made(CONFIGS[request.param])


def made(config: DavidConfig) -> David:
    """Random weights, biases included, so that no part is the identity."""
    torch.manual_seed(3)
    network = David(config).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.15)
    return network


def window(network: David, height: int = 37, width: int = 50, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, network.config.frames, 3, height, width, generator=generator)


@torch.inference_mode()
def restored(quick: FastNetwork, frames: Tensor) -> Tensor:
    H, W = frames.shape[-2:]
    entered = [quick.enter(frames[:, i]) for i in range(quick.frames)]
    return frames[:, quick.frames // 2] + quick.change(entered)[..., :H, :W]


@torch.inference_mode()
def plain(network: David, frames: Tensor) -> Tensor:
    return network(frames)


@pytest.mark.parametrize("size", [(37, 50), (1, 1), (16, 64)])
@pytest.mark.parametrize("batch", [1, 2])
def test_it_is_the_same_network(network: David, size: tuple[int, int], batch: int) -> None:
    frames = window(network, *size, batch)
    expected = plain(network, frames)
    assert (expected - frames[:, network.config.frames // 2]).abs().mean() > 1e-3
    assert torch.allclose(restored(FastNetwork(network), frames), expected, atol=1e-5)


def test_without_the_fused_operator_too(network: David, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_fused_is_right", lambda dtype: False)
    frames = window(network)
    assert torch.allclose(restored(FastNetwork(network), frames), plain(network, frames), atol=1e-5)


def test_an_operator_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrong(fast._FusedConvolution):
        def plus(self, x: Tensor, other: Tensor) -> Tensor:
            return super().plus(x, other) + 0.01

    monkeypatch.setattr(fast, "_FusedConvolution", Wrong)
    network = made(SINGLE)
    frames = window(network)
    assert torch.allclose(restored(FastNetwork(network), frames), plain(network, frames), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype: torch.dtype) -> None:
    network = made(TINY)
    frames = window(network)
    quick = FastNetwork(network, dtype)
    assert quick.enter(frames[:, 0]).dtype is dtype
    change = plain(network, frames) - frames[:, 3]
    error = restored(quick, frames) - plain(network, frames)
    assert error.square().mean() < 1e-3 * change.square().mean()


def test_a_part_of_what_entered_is_a_tile() -> None:
    network = made(SINGLE)
    frames = window(network, 48, 64)
    quick = FastNetwork(network)
    with torch.inference_mode():
        entered = [quick.enter(frame)[..., 4:16, 8:24] for frame in frames.unbind(1)]
        tile = frames[:, 3, :, 8:32, 16:48] + quick.change(entered)
    assert torch.allclose(tile, plain(network, frames[..., 8:32, 16:48]), atol=1e-5)


def test_threads_do_not_disturb_each_other() -> None:
    network = made(TINY)
    quick = FastNetwork(network)
    inputs = [window(network, 30 + 8 * i, 40) + 0.1 * i for i in range(6)]
    expected = [plain(network, frames) for frames in inputs]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda frames: restored(quick, frames), inputs * 4))
    for got, wanted in zip(found, expected * 4, strict=True):
        assert torch.allclose(got, wanted, atol=1e-5)


def test_memory_of_larger_windows_is_given_back() -> None:
    """Smaller tiles come because larger ones did not fit."""
    network = made(TINY)
    quick = FastNetwork(network)
    for size in (64, 32, 96, 16):
        frames = window(network, size, size)
        assert torch.allclose(restored(quick, frames), plain(network, frames), atol=1e-5)
        held = sum(buffer.numel() for buffer in quick._buffers._kept.values())
        assert held == (1 + 3 + 5 + 7) * 3 * size * size


def test_the_network_it_was_made_from_may_change() -> None:
    network = made(SINGLE)
    frames = window(network)
    quick = FastNetwork(network)
    expected = restored(quick, frames)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(restored(quick, frames), expected)


class TestNegligible:
    """Parts that get no attention anywhere in a tile."""

    @staticmethod
    def one_sided(weight: float) -> David:
        """External attention gives ``weight`` to modules 2 and 3 each, everywhere."""
        network = made(replace(TINY, branches=(7,)))
        assert network.external is not None
        last = network.external.unet.last
        nn.init.zeros_(last.weight)
        logits = torch.tensor([1 - 2 * weight, weight, weight]).log()
        with torch.no_grad():
            last.bias.copy_(logits.repeat_interleave(4))  # type: ignore[union-attr]
        return network

    @pytest.mark.parametrize(("weight", "branches"), [(1e-3, 1), (0.05, 3)])
    def test_what_does_not_count_is_not_computed(self, weight: float, branches: int) -> None:
        network = self.one_sided(weight)
        frames = window(network)
        quick, calls = FastNetwork(network), []
        for parts, _ in quick._modules:
            for part in parts:
                run = part.unet.__call__
                part.unet = lambda x, run=run: calls.append(1) or run(x)  # type: ignore[assignment, func-returns-value]
        output = restored(quick, frames)
        assert len(calls) == branches
        largest = (plain(network, frames) - frames[:, 3]).abs().max()
        assert (output - plain(network, frames)).abs().max() <= 1e-5 + 4 * weight * largest

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_attention_that_is_no_number_leaves_nothing_out(self, bad: float) -> None:
        """The result is none either, which the guard sees."""
        network = made(TINY)
        frames = window(network)
        frames[0, 3, 1, 20, 20] = bad
        assert restored(FastNetwork(network), frames).isnan().any()

    def test_zero_computes_everything(self) -> None:
        network = self.one_sided(1e-3)
        frames = window(network)
        exact = restored(FastNetwork(network, negligible=0.0), frames)
        assert torch.allclose(exact, plain(network, frames), atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_shuffling_and_back(factor: int, dtype: torch.dtype) -> None:
    frames = torch.rand(2, 3, 6 * factor, 4 * factor).to(dtype)
    arranged = unshuffled(frames, factor)
    assert torch.equal(arranged, F.pixel_unshuffle(frames, factor))
    assert arranged.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(shuffled(arranged, factor), frames)
    part = arranged[..., 1:4, 1:3]
    assert torch.equal(shuffled(part, factor), F.pixel_shuffle(part, factor))


def test_which_networks_it_takes() -> None:
    assert all(is_fast(made(config)) for config in CONFIGS.values())
    assert not is_fast(made(replace(TINY, softmax=False)))  # its maps need not sum to 1
    assert not is_fast(Dbn(DbnConfig()))
