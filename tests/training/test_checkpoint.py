"""Checkpoints: complete, in safetensors, and only for the run that wrote them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from david_cli.errors import InputError
from david_cli.network.david import David
from david_cli.synthesis.packs import Pack
from david_cli.training.trainer import train
from tests.network.test_david import SINGLE
from tests.training.quick import QUICK


def fresh() -> David:
    torch.manual_seed(3)
    return David(SINGLE)


@pytest.fixture
def checkpoint(pack: Pack, tmp_path: Path) -> Path:
    path = tmp_path / "c.safetensors"
    train(fresh(), pack, QUICK, path)
    return path


def test_everything_that_changes_is_kept(checkpoint: Path) -> None:
    with safe_open(checkpoint, "pt") as file:
        keys = {key.split(".")[0] for key in file.keys()}  # noqa: SIM118
        first = file.get_tensor("network.modules_by_level.0.branches.0.unet.tail.weight")
        metadata = file.metadata()
    assert keys == {"network", "average", "optimizer", "rng"}
    assert first.dtype == torch.float32
    assert metadata["step"] == "6"
    assert json.loads(metadata["training"])["lr"] == QUICK.lr


def test_generators_go_on_where_they_stopped(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    torch.manual_seed(5)
    train(fresh(), pack, QUICK, path)
    expected = torch.rand(4)
    torch.manual_seed(7)
    train(fresh(), pack, QUICK, path)  # nothing is left to do but to take up the state
    assert torch.equal(torch.rand(4), expected)


def test_another_configuration_is_refused_and_named(checkpoint: Path, pack: Pack) -> None:
    with pytest.raises(InputError, match=r"another configuration \(training: lr was 0.001, is"):
        train(fresh(), pack, replace(QUICK, lr=2e-3), checkpoint)


def test_another_network_is_refused(checkpoint: Path, pack: Pack) -> None:
    with pytest.raises(InputError, match="network: widths"):
        train(David(replace(SINGLE, widths=(4, 6, 10))), pack, QUICK, checkpoint)


def test_a_damaged_file_is_refused(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="delete it to start afresh"):
        train(fresh(), pack, QUICK, path)
