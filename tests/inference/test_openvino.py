"""The OpenVINO engine computes what torch computes, from any thread and at any size."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from david_cli.errors import DeviceError, UsageError
from david_cli.inference import openvino as engine
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.device import resolve_engine
from david_cli.inference.openvino import KEPT_SHAPES, OpenVinoNetwork
from david_cli.jobs.fingerprint import engine_version
from david_cli.network.david import David
from david_cli.network.dbn import Dbn, DbnConfig
from tests.network.test_fast import CONFIGS, TINY, made, plain, window

CPU = torch.device("cpu")
LIGHT = replace(TINY, modules=1, branches=(1, 7))


@pytest.fixture
def installed() -> None:
    pytest.importorskip("openvino")


@pytest.fixture
def network() -> David:
    return made(LIGHT)


@pytest.fixture
def threads() -> Iterator[None]:
    """Torch's threads are as before afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@torch.inference_mode()
def restored(quick: OpenVinoNetwork, frames: Tensor) -> Tensor:
    (T, _, H, W), centre = frames.shape[1:], frames.shape[1] // 2
    entered = [quick.enter(frames[:, i]) for i in range(T)]
    return frames[:, centre] + quick.change(entered)[..., :H, :W]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("config", CONFIGS)
def test_it_is_the_same_network(config: str) -> None:
    network = made(CONFIGS[config])
    quick = OpenVinoNetwork(network)
    for height, width, batch in ((37, 50, 1), (1, 1, 1), (16, 64, 2)):
        frames = window(network, height, width, batch)
        expected = plain(network, frames)
        assert (expected - frames[:, network.config.frames // 2]).abs().mean() > 1e-3
        assert torch.allclose(restored(quick, frames), expected, atol=1e-5)


@pytest.mark.usefixtures("installed", "threads")
@pytest.mark.parametrize("each", [1, 2])
def test_several_threads_share_it(network: David, each: int) -> None:
    torch.set_num_threads(2)
    quick = OpenVinoNetwork(network)
    windows = [window(network, 20 + 8 * (i % 2), 33) * (i + 1) / 12 for i in range(12)]

    def run(frames: Tensor) -> Tensor:
        torch.set_num_threads(each)
        return restored(quick, frames)

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(run, windows))
    for frames, result in zip(windows, results, strict=True):
        assert torch.allclose(result, plain(network, frames), atol=1e-5)


@pytest.mark.usefixtures("installed")
def test_a_result_is_not_overwritten_by_the_next(network: David) -> None:
    quick = OpenVinoNetwork(network)
    first = restored(quick, window(network))
    kept = first.clone()
    restored(quick, window(network) / 2)
    assert torch.equal(first, kept)


@pytest.mark.usefixtures("installed")
def test_few_compiled_graphs_are_kept(network: David) -> None:
    quick = OpenVinoNetwork(network)
    for width in range(8, 8 * (KEPT_SHAPES + 4), 8):
        restored(quick, window(network, 8, width))
    assert len(quick._compiled) == KEPT_SHAPES


@pytest.mark.usefixtures("installed")
def test_a_deblurrer_runs_it_in_tiles(network: David) -> None:
    frames = window(network, 90, 70)
    setting = {"device": CPU, "tile": 64, "overlap": 16}
    expected = Deblurrer(network, **setting)(frames)
    deblurrer = Deblurrer(network, **setting, engine="openvino")
    assert torch.allclose(deblurrer(frames), expected, atol=1e-5)
    assert engine_version(deblurrer).startswith("openvino 2")


@pytest.mark.usefixtures("installed")
def test_half_precision_runs_where_the_cpu_has_it(network: David) -> None:
    import openvino

    frames = window(network)
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(DeviceError, match="choose --precision fp32"):
            OpenVinoNetwork(network, "bf16")
        return
    exact, rounded = plain(network, frames), restored(OpenVinoNetwork(network, "bf16"), frames)
    assert 0 < (rounded - exact).abs().max() < 0.05


@pytest.mark.usefixtures("installed")
def test_other_networks_are_refused() -> None:
    with pytest.raises(UsageError, match="DAVID models only"):
        OpenVinoNetwork(Dbn(DbnConfig(width=4)))
    with pytest.raises(UsageError, match="DAVID models only"):  # its maps do not sum to 1
        OpenVinoNetwork(made(replace(LIGHT, softmax=False)))


def test_where_it_is_not_installed_the_extra_is_named(
    network: David, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'david-cli\[openvino\]'"):
        Deblurrer(network, device=CPU, engine="openvino")


def test_engines_by_name() -> None:
    assert resolve_engine("auto", CPU) == "torch"
    assert resolve_engine("openvino", CPU) == "openvino"
    with pytest.raises(UsageError, match="--device cpu"):
        resolve_engine("openvino", torch.device("cuda:0"))
    with pytest.raises(UsageError, match="choose auto, torch or openvino"):
        resolve_engine("tensorrt", CPU)
