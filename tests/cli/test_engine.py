"""`--engine`: what computes the network is said, and kept to when a run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from david_cli.cli.app import run
from david_cli.inference import openvino as engine
from david_cli.inference.loading import load_deblurrer
from david_cli.jobs.plan import Job
from david_cli.jobs.planning import settings_of
from david_cli.jobs.records import described
from david_cli.jobs.settings import Settings


def test_openvino_deblurs_a_video(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    command = ["deblur", str(clip), "--model", str(tiny_model), "--engine", "openvino", "-q"]
    target = tmp_path / "out.mp4"
    assert run([*command, "-o", str(target), "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["engine"] == "openvino"
    assert events[-1]["frames"] == 12
    assert target.is_file()


def test_the_headline_names_it(
    frame_folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    command = ["frames", str(frame_folder), "--model", str(tiny_model), "--precision", "fp32"]
    assert run([*command, "--engine", "openvino", "--progress", "plain"]) == 0
    assert "tiny on cpu by openvino, fp32" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_another_engine(clip: Path, tiny_model: Path) -> None:
    pytest.importorskip("openvino")
    job = Job(source=clip, model=str(tiny_model))
    by = {
        name: settings_of(job, load_deblurrer(tiny_model, device="cpu", engine=name))
        for name in ("auto", "torch", "openvino")
    }
    assert by["auto"] == by["torch"]
    assert by["torch"]["engine"] == "torch"
    assert by["openvino"]["engine"].startswith("openvino 2")


def test_a_batch_tells_its_engine_apart() -> None:
    assert "engine" not in described(Settings())
    assert described(Settings(engine="openvino"))["engine"] == "openvino"


@pytest.mark.parametrize(("command", "name"), [("deblur", "out.mp4"), ("preview", "out.png")])
def test_without_the_extra_nothing_is_written(
    command: str,
    name: str,
    clip: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda: False)
    arguments = [str(clip), "--model", str(tiny_model), "-o", str(tmp_path / name)]
    assert run([command, *arguments, "--engine", "openvino"]) == 2
    assert "pip install 'david-cli[openvino]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
