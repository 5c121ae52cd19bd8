"""`david export`: files for other programs, and the documentation of their use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from david_cli.cli.app import run
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.pictures import deblur_frames
from david_cli.network.weights import checksum
from tests.cli.conftest import pictures
from tests.conftest import ROOT
from tests.test_readme import blocks

PAGE = ROOT / "docs/export.md"


@pytest.fixture(scope="module")
def exported(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    assert run(["export", str(tiny_model), "--onnx", str(path)]) == 0
    return path


def test_json_says_how_far_the_file_is_from_torch(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    target = tmp_path / "tiny.xml"
    assert run(["export", str(tiny_model), "--openvino", str(target), "--json"]) == 0
    out, err = capfd.readouterr()  # what the exporter prints by itself would be seen as well
    told = json.loads(out)
    assert err == ""
    assert (told["schema"], told["model"], told["sha256"]) == (1, "tiny", checksum(tiny_model))
    (file,) = told["files"]
    assert file["path"] == str(target)
    assert file["runtime"].startswith("OpenVINO ") and file["difference"] < 1e-4
    assert file["bytes"] == sum(part.stat().st_size for part in tmp_path.iterdir())


def test_the_python_of_the_documentation_runs(
    exported: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(exported, tmp_path / "david-lite.onnx")
    monkeypatch.chdir(tmp_path)
    ((_, code),) = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(compile(code, "export.md", "exec"), names)
    assert names["facts"]["model"] == "tiny"
    deblurrer = load_deblurrer(tiny_model, device="cpu", precision="fp32")
    for count in (1, 2, 9):
        frames = pictures(count)
        expected = list(deblur_frames(frames, deblurrer))
        results = list(names["sharpened"](frames))
        assert len(results) == count
        assert any((a != b).any() for a, b in zip(results, frames, strict=True))
        for result, wanted in zip(results, expected, strict=True):
            assert np.abs(result.astype(int) - wanted.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to write"),
        (["--onnx", "a.xml"], "ends in .onnx"),
        (["--openvino", "a.onnx"], "ends in .xml"),
    ],
)
def test_targets_that_cannot_be(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", "david-lite", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_nothing_is_overwritten_without_a_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.onnx").write_text("mine")
    assert run(["export", "david-lite", "--onnx", str(tmp_path / "a.onnx")]) == 4
    assert (tmp_path / "a.onnx").read_text() == "mine"
    assert "--yes" in capsys.readouterr().err


def test_an_unknown_model_is_a_model_error(tmp_path: Path) -> None:
    assert run(["export", "davide", "--onnx", str(tmp_path / "a.onnx")]) == 5
    assert list(tmp_path.iterdir()) == []
