"""The commands that take weights take those of DAVID-X, or say that they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from david_cli.cli.app import run
from david_cli.network.build import build, count_gmacs, count_parameters
from david_cli.network.davidx import DavidX
from david_cli.network.weights import save_network
from tests.network.test_davidx import SMALL, randomised


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "x.safetensors"
    save_network(randomised(DavidX(SMALL)), path, {"data": "none"})
    return path


def test_it_is_counted_and_described(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", str(weights), "--json"]) == 0
    (fact,) = json.loads(capsys.readouterr().out)["models"]
    assert fact["network"] == "david-x"
    parameters = sum(p.numel() for p in build(SMALL).parameters())
    assert fact["parameters"] == count_parameters(SMALL) == parameters
    assert fact["gmacs"] == count_gmacs(SMALL) > 0


def test_a_video_is_deblurred(
    clip: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sharp.mkv"
    options = ["--model", str(weights), "--device", "cpu", "--codec", "ffv1", "--tile", "32"]
    options += ["--overlap", "8"]
    assert run(["deblur", str(clip), "-o", str(target), *options]) == 0
    assert capsys.readouterr().err.startswith("david: x on cpu, fp32")
    assert target.stat().st_size > 0


def test_it_is_not_exported(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "x.onnx"
    assert run(["export", str(weights), "--onnx", str(target)]) == 2
    assert "cannot be exported" in capsys.readouterr().err
    assert not target.exists()


def test_it_has_no_attention_to_show(
    weights: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["attention", str(clip), "--model", str(weights), "--measure"]) != 0
    assert "no branches or attention" in capsys.readouterr().err
