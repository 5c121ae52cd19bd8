"""The commands that take weights take those of the baseline, too."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from david_cli.cli.app import run
from david_cli.network.build import count_parameters
from david_cli.network.dbn import DbnConfig
from david_cli.network.weights import save_network
from tests.network.test_dbn import randomised

CONFIG = DbnConfig(width=4, norm="batch")


@pytest.fixture
def dbn(tmp_path: Path) -> Path:
    path = tmp_path / "dbn.safetensors"
    save_network(randomised(CONFIG), path, {"data": "none"})
    return path


def luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


@pytest.mark.parametrize("options", [[], ["--precision", "fp16", "--tile", "32", "--overlap", "8"]])
def test_a_video_is_deblurred_by_a_dbn(
    clip: Path, dbn: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sharp.mkv"
    arguments = ["--model", str(dbn), "--device", "cpu", "--codec", "ffv1", *options]
    assert run(["deblur", str(clip), "-o", str(target), *arguments]) == 0
    assert capsys.readouterr().err.startswith("david: dbn on cpu, ")
    before, after = luma(clip), luma(target)
    assert before.shape == after.shape
    assert not np.array_equal(before, after)


def test_models_describes_a_dbn(dbn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", str(dbn), "--json"]) == 0
    (fact,) = json.loads(capsys.readouterr().out)["models"]
    assert fact["network"] == "dbn"
    assert fact["parameters"] == count_parameters(CONFIG)
    assert fact["config"] == CONFIG.to_dict()
