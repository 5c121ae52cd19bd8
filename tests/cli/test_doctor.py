"""`david doctor`: what it prints, and that it answers where the libraries themselves are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from david_cli.cli.app import run
from david_cli.diagnosis import checkup
from david_cli.diagnosis.finding import Finding
from tests.conftest import ROOT

Capture = pytest.CaptureFixture[str]


def fine() -> Iterator[Finding]:
    yield Finding("torch", "ok", "2.9", facts={"version": "2.9"})
    yield Finding("gpu", "note", "none", "nothing to mend")


def sick() -> Iterator[Finding]:
    yield Finding("david", "problem", "damaged \x1b[2J", "copy it again", 5)
    yield Finding("memory", "warning", "little", "close programs")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    table: dict[str, Any] = {"libraries": (fine,)}
    monkeypatch.setattr(checkup, "CHECKS", table)
    return table


def test_where_all_is_well(checks: dict[str, Any], capsys: Capture) -> None:
    assert run(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[2:] == [
        "configuration",
        f"  ok   david.toml        {os.devnull}",
        "",
        "libraries",
        "  ok   torch             2.9",
        "  note gpu               none",
        "                         -> nothing to mend",
        "",
        "all is well",
    ]


def test_the_exit_code_is_that_of_the_worst(checks: dict[str, Any], capsys: Capture) -> None:
    checks["weights"] = (sick,)
    assert run(["doctor"]) == 5
    out = capsys.readouterr().out
    assert "  FAIL david             damaged \\x1b[2J\n" in out
    assert out.endswith("1 problem, 1 warning: exit code 5; what to do stands after ->\n")


def test_json_holds_it_all(checks: dict[str, Any], capsys: Capture) -> None:
    checks["weights"] = (sick,)
    assert run(["doctor", "--json"]) == 5
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["ok"], report["exit_code"]) == (1, False, 5)
    topics = ["configuration", *["libraries"] * 2, *["weights"] * 2]
    assert [f["topic"] for f in report["findings"]] == topics
    assert report["findings"][1]["facts"] == {"version": "2.9"}


@pytest.mark.parametrize("text", ["modle = 'david'", "[deblur]\nlossless = 'maybe'", "= 1", None])
def test_a_configuration_that_stops_all_other_commands(
    text: str | None,
    checks: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("DAVID_CONFIG", str(file))
    assert run(["models"]) == 2
    said = capsys.readouterr().err.removeprefix("david: error: ").rstrip()
    assert run(["doctor", "--json"]) == 2
    out, err = capsys.readouterr()
    found = json.loads(out)["findings"]
    assert [f["status"] for f in found] == ["problem", "ok", "note"]
    assert (found[0]["name"], found[0]["exit_code"]) == ("david.toml", 2)
    assert (found[0]["what"], err) == (said, "")


@pytest.mark.parametrize("version", ["2.5.1", None])
def test_it_answers_without_a_torch_that_works(tmp_path: Path, version: str | None) -> None:
    """A torch that fails on import, in an environment that says it is old or does not say so."""
    (tmp_path / "torch").mkdir()
    broken = 'raise OSError("libcudart.so.11.0: cannot open shared object file")'
    (tmp_path / "torch" / "__init__.py").write_text(broken)
    if version:
        about = tmp_path / f"torch-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    ended = subprocess.run(
        [sys.executable, "-m", "david_cli", "doctor", "--json"],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, "")
    found = json.loads(ended.stdout)["findings"]
    (torch,) = (f for f in found if f["name"] == "torch")
    said = "2.5.1, but david needs >=2.6" if version else "does not load: OSError: libcudart"
    assert said in torch["what"]
    assert "pip install" in torch["advice"]
    topics = {f["topic"] for f in found}
    assert topics == {"configuration", *checkup.CHECKS}
    assert next(f for f in found if f["name"] == "ffmpeg")["status"] == "ok"
    assert "not looked at, as torch does not load" in {f["what"] for f in found}
