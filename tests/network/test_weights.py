"""Weights files: they rebuild their network alone, and bad ones are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from david_cli.errors import ModelError
from david_cli.network.build import kind_of
from david_cli.network.david import David
from david_cli.network.dbn import Dbn, DbnConfig
from david_cli.network.weights import (
    load_david,
    load_network,
    read_info,
    record_gain,
    save_network,
    shipped_models,
)
from tests.network.test_david import SINGLE, randomised
from tests.network.test_dbn import randomised as random_dbn

DBN = DbnConfig(width=4, norm="batch")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_network(randomised(SINGLE), path, {"steps": 3}, gain={"7": 0.5})
    return path


def test_a_file_alone_rebuilds_its_network(weights: Path) -> None:
    network = load_network(weights)
    window = torch.rand(1, 7, 3, 16, 16)
    with torch.inference_mode():
        expected = randomised(SINGLE).half().float()(window)
        assert torch.equal(network(window), expected)
    info = read_info(weights)
    assert (info.config, info.training, info.gain) == (SINGLE, {"steps": 3}, {"7": 0.5})


def test_a_dbn_comes_back_with_its_statistics(tmp_path: Path) -> None:
    """More than 65504 batches, which float16 does not hold, are counted as before."""
    path = tmp_path / "dbn.safetensors"
    saved = random_dbn(DBN)
    for name, buffer in saved.named_buffers():
        if name.endswith("num_batches_tracked"):
            buffer.fill_(100_000)
    save_network(saved, path, {"steps": 100_000})
    loaded = load_network(path)
    assert isinstance(loaded, Dbn) and loaded.config == DBN and not loaded.training
    assert {v.item() for k, v in loaded.state_dict().items() if "tracked" in k} == {100_000}
    window = torch.rand(1, 5, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded(window), saved.half().float()(window))
    record_gain(path, {"7": 0.5})
    info = read_info(path)
    assert (info.config, kind_of(info.config), info.gain) == (DBN, "dbn", {"7": 0.5})


def test_a_file_that_names_no_network_holds_a_david(weights: Path) -> None:
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    assert metadata.pop("network") == "david"
    save_file(load_file(weights), weights, metadata)
    assert load_david(weights).config == SINGLE


def test_a_file_of_a_network_to_come_is_refused(weights: Path) -> None:
    with safe_open(weights, "pt") as file:
        metadata = {**file.metadata(), "network": "unet"}
    save_file(load_file(weights), weights, metadata)
    with pytest.raises(ModelError, match="unknown network 'unet'"):
        load_network(weights)


def test_where_only_david_will_do_a_dbn_is_refused(tmp_path: Path) -> None:
    save_network(random_dbn(DBN), tmp_path / "dbn.safetensors", {})
    with pytest.raises(ModelError, match=r"dbn\.safetensors has no branches"):
        load_david(tmp_path / "dbn.safetensors")


def test_a_measured_gain_can_be_added_later(weights: Path) -> None:
    before = load_network(weights).state_dict()
    record_gain(weights, {"7": 1.25})
    info = read_info(weights)
    assert (info.gain, info.training) == ({"7": 1.25}, {"steps": 3})
    after = load_network(weights).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_nothing_unfinished_is_left_beside_a_saved_file(weights: Path) -> None:
    assert [p.name for p in weights.parent.iterdir()] == [weights.name]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no model named 'nonsense'"):
        load_network("nonsense")


def test_damaged_weights_are_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load_network(weights)


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="holds no david network"):
        load_network(path)


def test_weights_of_another_layout_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    network = David(SINGLE)
    network.config = type(SINGLE)(modules=1, branches=(7,))
    save_network(network, path, {})
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load_network(path)


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    network = David(SINGLE)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    save_network(network, tmp_path / "nan.safetensors", {})
    with pytest.raises(ModelError, match="not finite"):
        load_network(tmp_path / "nan.safetensors")


def test_every_shipped_model_loads_within_its_budget() -> None:
    names = {info.name for info in shipped_models()}
    assert {"david", "david-lite"} <= names
    for info in shipped_models():
        assert load_network(info.name).config == info.config
    assert sum(info.path.stat().st_size for info in shipped_models()) < 30e6
