"""DBN against its paper: the layers of Table 1, the sums between them, and the first weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.network.build import count_gmacs, count_parameters
from david_cli.network.dbn import PAPER_DBN, Dbn, DbnConfig

# Table 1 of the paper: layer, kernel, stride (1/2 for a deconvolution), channels, edge of its
# output for an input of 32, and the layer that is added to it, if any.
TABLE_1: list[tuple[str, int, float, int, int, str | None]] = [
    ("F0", 5, 1, 64, 32, None),
    ("D1", 3, 2, 64, 16, None),
    ("F1_1", 3, 1, 128, 16, None),
    ("F1_2", 3, 1, 128, 16, None),
    ("D2", 3, 2, 256, 8, None),
    ("F2_1", 3, 1, 256, 8, None),
    ("F2_2", 3, 1, 256, 8, None),
    ("F2_3", 3, 1, 256, 8, None),
    ("D3", 3, 2, 512, 4, None),
    ("F3_1", 3, 1, 512, 4, None),
    ("F3_2", 3, 1, 512, 4, None),
    ("F3_3", 3, 1, 512, 4, None),
    ("U1", 4, 1 / 2, 256, 8, "F2_3"),
    ("F4_1", 3, 1, 256, 8, None),
    ("F4_2", 3, 1, 256, 8, None),
    ("F4_3", 3, 1, 256, 8, None),
    ("U2", 4, 1 / 2, 128, 16, "F1_2"),
    ("F5_1", 3, 1, 128, 16, None),
    ("F5_2", 3, 1, 64, 16, None),
    ("U3", 4, 1 / 2, 64, 32, "F0"),
    ("F6_1", 3, 1, 15, 32, None),
    ("F6_2", 3, 1, 3, 32, None),
]

TINY = DbnConfig(width=4)
KINDS = {
    "default": TINY,
    "paper": replace(PAPER_DBN, width=4),
    "single": replace(TINY, single=True),
    "seven frames": replace(TINY, frames=7, norm="batch"),
}


def randomised(config: DbnConfig, seed: int = 0) -> Dbn:
    """A network whose every tensor matters, running statistics included."""
    torch.manual_seed(seed)
    network = Dbn(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
    return network


def layers(network: Dbn) -> list[nn.Module]:
    """Convolutions and deconvolutions in the order in which they run."""
    found: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            found.append(module)
    return found


def by_the_table(network: Dbn, stacked: Tensor, centre: Tensor) -> Tensor:
    """The paper's network worked out row by row from the weights of ours."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    outputs: dict[str, Tensor] = {}
    x = stacked
    for i, (name, kernel, stride, _, _, added) in enumerate(TABLE_1):
        layer = layers(network)[i]
        if stride < 1:
            x = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=1)
        else:
            x = F.conv2d(x, layer.weight, layer.bias, int(stride), padding=kernel // 2)
        if norms:
            n = norms[i]
            x = F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=1e-3)
        x = x if added is None else x + outputs[added]
        x = x if name == "F6_2" else F.relu(x)
        outputs[name] = x
    x = x + centre
    return x.sigmoid() if network.config.output == "sigmoid" else x


def test_the_layers_are_those_of_table_1() -> None:
    seen: list[tuple[int, float, int, int]] = []

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        stride = layer.stride[0] if isinstance(layer, nn.Conv2d) else 1 / layer.stride[0]
        seen.append((layer.kernel_size[0], stride, output.shape[1], output.shape[-1]))

    network = Dbn(DbnConfig())
    for layer in layers(network):
        layer.register_forward_hook(note)
    with torch.inference_mode():
        network(torch.rand(1, 5, 3, 32, 32))
    assert seen == [row[1:5] for row in TABLE_1]


@pytest.mark.parametrize("config", [TINY, KINDS["paper"]], ids=["default", "paper"])
def test_the_sums_are_those_of_table_1(config: DbnConfig) -> None:
    network = randomised(config)
    window = torch.rand(2, 5, 3, 24, 32)
    with torch.inference_mode():
        expected = by_the_table(network, window.flatten(1, 2), window[:, 2])
        torch.testing.assert_close(network(window), expected, atol=1e-4, rtol=1e-4)


def test_size_and_cost_are_those_published() -> None:
    """15.3 M parameters, 39.7 GMACs for 256x256 (batch normalisation's are not counted here)."""
    for config in (DbnConfig(), PAPER_DBN):
        assert count_parameters(config) == pytest.approx(15.3e6, rel=2e-3)
        assert count_gmacs(config) == pytest.approx(39.7, rel=5e-3)
    assert count_parameters(DbnConfig(width=16)) < count_parameters(DbnConfig()) / 15


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS.keys())
def test_an_untrained_network_gives_the_centre_frame(config: DbnConfig) -> None:
    window = torch.rand(2, config.frames, 3, 16, 24)
    centre = window[:, config.frames // 2]
    with torch.inference_mode():
        restored = Dbn(config).eval()(window)
    expected = centre.sigmoid() if config.output == "sigmoid" else centre
    torch.testing.assert_close(restored, expected)


def test_zero_weights_give_the_centre_frame() -> None:
    network = randomised(TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    window = torch.rand(1, 5, 3, 16, 16)
    assert torch.equal(network(window), window[:, 2])


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (17, 16)])
def test_any_frame_size_works(config: DbnConfig, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        restored = randomised(config)(torch.rand(1, config.frames, 3, *size))
    assert restored.shape == (1, 3, *size)
    assert restored.isfinite().all()


def test_all_five_frames_are_seen_and_no_others() -> None:
    network = randomised(TINY)
    window = torch.rand(1, 7, 3, 16, 16)
    with torch.inference_mode():
        restored = network(window)
        assert torch.equal(restored, network(window[:, 1:6]))
        for i in range(1, 6):
            changed = window.clone()
            changed[:, i] = 0
            assert not torch.equal(restored, network(changed))


def test_single_is_the_same_network_on_the_centre_five_times() -> None:
    single = randomised(KINDS["single"])
    whole = Dbn(TINY).eval()
    whole.load_state_dict(single.state_dict())
    window = torch.rand(1, 5, 3, 16, 16)
    with torch.inference_mode():
        repeated = whole(window[:, 2:3].repeat(1, 5, 1, 1, 1))
        torch.testing.assert_close(single(window), repeated)
        assert not torch.allclose(single(window), whole(window))


def test_every_layer_learns_after_two_steps() -> None:
    torch.manual_seed(0)
    network = Dbn(TINY)
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # the last layer starts at zero and keeps the others still for one step
        optimizer.zero_grad()
        network(torch.rand(2, 5, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    assert all(not torch.equal(before[name], p) for name, p in network.named_parameters())


@pytest.mark.parametrize("config", [TINY, KINDS["paper"]], ids=["default", "paper"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 5e-2)])
def test_half_precisions_agree_with_float32(
    config: DbnConfig, dtype: torch.dtype, tolerance: float
) -> None:
    network = randomised(config)
    window = torch.rand(1, 5, 3, 16, 16)
    with torch.inference_mode():
        exact = network(window)
        rough = network.to(dtype)(window.to(dtype)).float()
    torch.testing.assert_close(rough, exact, atol=tolerance, rtol=tolerance)


def test_a_configuration_survives_json_and_refuses_unknown_settings() -> None:
    assert DbnConfig.from_dict(PAPER_DBN.to_dict()) == PAPER_DBN
    with pytest.raises(ValueError, match="widht"):
        DbnConfig.from_dict({"widht": 64})


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 4}, {"frames": -1}, {"width": 0}, {"norm": "layer"}, {"output": "tanh"}],
)
def test_impossible_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        DbnConfig.from_dict(wrong)
