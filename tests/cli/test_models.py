"""`david models`: what it says must be true of the file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from david_cli.cli.app import run
from david_cli.network.build import count_gmacs
from david_cli.network.david import David
from tests.cli.conftest import TINY


def test_json_describes_the_file(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", str(tiny_model), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (fact,) = told["models"]
    assert told["schema"] == 1
    assert fact["name"] == "tiny"
    assert fact["parameters"] == sum(p.numel() for p in David(TINY).parameters())
    assert fact["gmacs"] == count_gmacs(TINY)
    assert fact["bytes"] == tiny_model.stat().st_size
    assert fact["sha256"] == hashlib.sha256(tiny_model.read_bytes()).hexdigest()
    assert fact["gain_db"] == {"7": 0.25, "15": -0.5}
    assert fact["training"] == {"data": "none"}


def test_text_names_cost_and_gain(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", str(tiny_model)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("tiny\n")
    for words in ("GMACs", "7: +0.25 dB", "15: -0.50 dB", str(tiny_model)):
        assert words in out


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\xff" * 4096])
def test_a_foreign_file_is_a_model_error(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    assert run(["models", str(path)]) == 5
    assert "foreign.safetensors" in capsys.readouterr().err


def test_an_unknown_name_is_a_model_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "davide"]) == 5
    assert "davide" in capsys.readouterr().err
