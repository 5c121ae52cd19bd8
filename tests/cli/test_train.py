"""`david train`: what it writes, says and refuses, on a recipe that takes a second."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from david_cli.cli.app import run
from david_cli.cli.training_view import LiveTraining, PlainTraining, step_line
from david_cli.network.david import DavidConfig
from david_cli.network.weights import read_info
from david_cli.synthesis.packs import Sample, open_pack, write_shard
from david_cli.training import curves, processes, trainer
from david_cli.training.config import TrainConfig
from david_cli.training.log import read_log
from david_cli.training.pace import Standing
from david_cli.training.recipe import Phase
from david_cli.training.trainer import StepLog
from tests.conftest import ROOT

RECIPE = """
[network]
widths = [4, 4]
attention_widths = [4, 4]

[training]
batch = 4
crop = 16
lr = 1e-3
log_every = 2
checkpoint_minutes = 0

[[phase]]
name = "branch"
network = { modules = 1, branches = [7] }
steps = 5

[[phase]]
name = "three"
start = ["branch"]
network = { modules = 1, branches = [3] }
steps = 3
"""
PAGE = ROOT / "docs" / "training.md"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a recipe, a pack of two levels, and paired clips to validate on."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE)
    g = torch.Generator().manual_seed(0)
    codes = torch.randint(256, (8, 8, 3, 24, 24), generator=g, dtype=torch.uint8)
    open_pack(Path("pack"), {})
    write_shard(
        Path("pack"), 0, [Sample(c[:7], c[7], 3 + 4 * (i % 2)) for i, c in enumerate(codes)]
    )
    rng = np.random.default_rng(1)
    for folder in ("blur03", "blur07", "sharp"):
        Path("pairs/one", folder).mkdir(parents=True)
        for n in range(3):
            picture = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            picture.save(f"pairs/one/{folder}/{n:04d}.png")
    return tmp_path


TRAIN = ["train", "tiny.toml", "pack", "-o", "run", "--device", "cpu"]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def logged(*names: str) -> list[tuple[str, str, int]]:
    found = read_log(Path("run/log.jsonl"))
    return [(r["event"], r["phase"], r["step"]) for r in found if r["event"] in names]


def test_every_phase_leaves_weights_and_lines(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(TRAIN) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("david: ") for line in err.splitlines())
    assert "tiny on cpu: 2 phases, 8 steps" in err
    assert "branch: step 5/5, loss " in err
    assert "three: wrote run/three.safetensors" in err
    files = {"branch.safetensors", "three.safetensors", "log.jsonl"}
    assert {path.name for path in Path("run").iterdir()} == files
    steps = [("branch", 2), ("branch", 4), ("branch", 5), ("three", 2), ("three", 3)]
    assert logged("step") == [("step", *step) for step in steps]
    assert logged("phase_done") == [("phase_done", "branch", 5), ("phase_done", "three", 3)]


def test_a_finished_run_is_left_alone_and_can_be_drawn(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(TRAIN) == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    capsys.readouterr()
    assert run([*TRAIN, "--curves", "new/curves.png"]) == 0
    assert "branch: already in run/branch.safetensors" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before
    with Image.open("new/curves.png") as image:
        assert image.width > 1000


def test_curves_are_drawn_at_the_end_of_every_phase(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(
        "david_cli.training.monitor.draw_curves",
        lambda records, target: drawn.append([s.phase for s in curves.lay_out(records)]),
    )
    assert run([*TRAIN, "--curves", "curves.png"]) == 0
    assert drawn == [["branch"], ["branch", "three"]]


def test_only_the_phases_named_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TRAIN, "--phase", "branch", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert not Path("run/three.safetensors").exists()
    assert run([*TRAIN, "--phase", "three", "--progress", "none"]) == 0
    assert Path("run/three.safetensors").exists()
    assert "step " not in capsys.readouterr().err.replace("steps", "")


def test_minutes_fix_the_steps_of_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TRAIN, "--minutes", "0.01"]) == 0
    factor = json.loads(Path("run/scale.json").read_text())["factor"]
    steps = read_info(Path("run/branch.safetensors")).training["phases"][0]["steps"]
    assert steps == max(1, round(5 * factor))
    capsys.readouterr()
    assert run([*TRAIN, "--minutes", "90"]) == 0
    err = capsys.readouterr().err
    assert "warning: run was scaled to 0.01 minutes and keeps its steps" in err
    assert "already in" in err


def test_json_events_are_those_that_are_documented(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*TRAIN, "--progress", "json", "--validate", "pairs"]) == 0
    out, err = capsys.readouterr()
    told = events(out)
    assert err == ""
    assert (told[0]["event"], told[0]["command"], told[0]["total"]) == ("start", "train", 8)
    assert (told[-1]["event"], told[-1]["phases"]) == ("done", ["branch", "three"])
    names = [e["event"] for e in told]
    assert names.count("phase") == names.count("phase_done") == 2
    progress = next(e for e in told if e["event"] == "progress")
    assert (progress["done"], progress["total"], progress["count"]) == (2, 8, 2)
    page = PAGE.read_text()
    for record in (*told, *read_log(Path("run/log.jsonl"))):
        assert f"`{record['event']}`" in page
        assert [key for key in record if f"`{key}`" not in page] == []


def test_whole_frames_are_measured_at_checkpoints_and_ends(here: Path) -> None:
    assert run([*TRAIN, "--validate", "pairs"]) == 0
    measured = [("branch", n) for n in (2, 4, 5)] + [("three", n) for n in (2, 3)]
    assert logged("validation") == [("validation", *place) for place in measured]
    found = [r for r in read_log(Path("run/log.jsonl")) if r["event"] == "validation"]
    assert {tuple(r["gain"]) for r in found} == {("3", "7")}


def test_a_finished_run_can_be_validated_later(here: Path) -> None:
    assert run(TRAIN) == 0
    for _ in range(2):
        assert run([*TRAIN, "--validate", "pairs", "--validate-levels", "7"]) == 0
        assert logged("validation") == [("validation", "branch", 5), ("validation", "three", 3)]
    found = [r for r in read_log(Path("run/log.jsonl")) if r["event"] == "validation"]
    assert {tuple(r["gain"]) for r in found} == {("7",)}


def test_validation_does_not_touch_the_training(here: Path) -> None:
    assert run([*TRAIN, "--validate", "pairs"]) == 0
    assert run([*TRAIN[:3], "-o", "plain", "--device", "cpu"]) == 0
    for name in ("branch", "three"):
        ours, theirs = (load_file(f"{d}/{name}.safetensors") for d in ("run", "plain"))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.fixture
def breaks_down_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have the loss of one step be no number."""

    def at(broken: int) -> None:
        def step(run: Any, config: Any, step: int, *batch: Tensor) -> Tensor:
            return (
                torch.full((3,), torch.nan) if step == broken else whole(run, config, step, *batch)
            )

        whole = trainer.train_step
        monkeypatch.setattr(trainer, "train_step", step)

    return at


def test_a_loss_that_breaks_down_keeps_the_last_good_checkpoint(
    here: Path,
    breaks_down_at: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    breaks_down_at(3)
    assert run(TRAIN) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert "run/branch.checkpoint.safetensors" in line
    assert "after step 2: lower `lr` in the recipe" in line
    assert not Path("run/branch.safetensors").exists()
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert run(TRAIN) == 0
    assert "branch: going on at step 2 of 5 steps" in capsys.readouterr().err
    assert run([*TRAIN[:3], "-o", "straight", "--device", "cpu"]) == 0
    ours, theirs = (load_file(f"{d}/three.safetensors") for d in ("run", "straight"))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    steps = [("branch", 2), ("branch", 4), ("branch", 5), ("three", 2), ("three", 3)]
    assert logged("step") == [("step", *step) for step in steps]


def test_a_checkpoint_of_another_configuration_is_refused(
    here: Path, breaks_down_at: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    breaks_down_at(3)
    assert run(TRAIN) == 1
    before = {path: path.read_bytes() for path in Path("run").glob("*.safetensors")}
    Path("tiny.toml").write_text(RECIPE.replace("lr = 1e-3", "lr = 2e-3"))
    capsys.readouterr()
    assert run(TRAIN) == 3
    line = capsys.readouterr().err.splitlines()[-1]
    assert "branch.checkpoint.safetensors belongs to another configuration" in line
    assert "lr was 0.001, is 0.002" in line
    assert {path: path.read_bytes() for path in Path("run").glob("*.safetensors")} == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--minutes", "1", "--scale", "2"], 2, "--minutes or --scale"),
        (["--phase", "brnch"], 2, "--phase brnch: tiny has branch, three"),
        (["--validate-levels", "3"], 2, "--validate-levels needs --validate"),
        (["--validate", "pairs", "--validate-levels", "low"], 2, "--validate-levels low"),
        (["--validate", "pairs", "--validate-levels", "11"], 3, "no clip of level 11"),
        (["--validate", "pack"], 3, "pack holds no paired clips"),
        (["--validate", "nowhere"], 3, "nowhere: no such folder"),
        (["--curves", "run.jpg"], 2, "--curves run.jpg: name a file that ends in .png"),
        (["--curves", "."], 2, "--curves"),
        (["--device", "tpu"], 2, "tpu"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    arguments: list[str],
    code: int,
    words: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*TRAIN, *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert not Path("run").exists()


def test_an_empty_pack_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    for described in (False, True):
        if described:
            Path("empty/pack.json").write_text("{}")
        assert run(["train", "tiny.toml", "empty", "-o", "run"]) == 3
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("david: error: ")
        assert "empty" in line


@pytest.mark.parametrize("recipe", ["no-such-recipe", "missing.toml", "broken.toml"])
def test_recipes_that_are_none_are_named(
    recipe: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.toml").write_text(RECIPE.replace("crop", "cropp"))
    assert run(["train", recipe, "pack", "-o", "run"]) == 3
    err = capsys.readouterr().err
    assert recipe in err
    assert err.count("\n") == 1
    assert ("did you mean 'crop'?" in err) == (recipe == "broken.toml")


def test_a_file_is_no_folder_for_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").write_text("precious")
    assert run(TRAIN) == 4
    assert "run is a file" in capsys.readouterr().err
    assert Path("run").read_text() == "precious"


def test_a_damaged_log_is_not_written_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/log.jsonl").write_text("my notes\n")
    assert run(TRAIN) == 3
    assert "run/log.jsonl, line 1 is no record" in capsys.readouterr().err
    assert Path("run/log.jsonl").read_text() == "my notes\n"


def test_curves_without_matplotlib_are_refused_with_the_remedy(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    assert run([*TRAIN, "--curves", "curves.png"]) == 2
    assert "pip install 'david-cli[plots]'" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_batch_that_processes_cannot_share_is_refused_at_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "world", lambda: 3)
    assert run(TRAIN) == 2
    assert "a batch of 4 cannot be shared equally by 3 processes" in capsys.readouterr().err
    assert not Path("run").exists()


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(here: Path) -> None:
    """One of them writes and speaks, and both have the same steps in as many minutes."""
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    arguments = [*TRAIN, "--minutes", "0.05", "--validate", "pairs", "--curves", "curves.png"]
    done = subprocess.run(
        [sys.executable, *command, "-m", "david_cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("david: ")]
    assert len(ours) == len(set(ours))
    assert sum(": wrote " in line for line in ours) == 2
    assert sorted(path.name for path in Path("run").iterdir()) == [
        "branch.safetensors",
        "log.jsonl",
        "scale.json",
        "three.safetensors",
    ]
    assert Path("curves.png").exists()
    found = read_log(Path("run/log.jsonl"))
    assert {r["processes"] for r in found if r["event"] == "phase"} == {2}
    assert len(logged("step")) == len(set(logged("step")))
    factor = json.loads(Path("run/scale.json").read_text())["factor"]
    assert logged("phase_done")[0][2] == max(1, round(5 * factor))


def standing(step: int = 50, loss: float = -30.125) -> Standing:
    config = TrainConfig(steps=100, batch=8)
    phase = Phase("branch", DavidConfig(), config)
    log = StepLog(step, loss, 0.5, 1.25, 1e-3, 10.0)
    return Standing(phase, 2, 5, log, 4.0, 75.0, 150, 400, 3700.0)


def test_a_plain_line_has_it_all() -> None:
    assert step_line(standing()) == (
        "branch: step 50/100, loss -30.12, gain +0.50 dB, gradient 1.25, lr 1.0e-03, "
        "4.00 steps/s, 32 samples/s, 1:15 left (1:01:40 in all)"
    )


def test_plain_lines_come_every_ten_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    view = PlainTraining(clock=lambda: now)
    for step in range(1, 101):
        now = step / 4
        view.step(standing(step))
    steps = re.findall(r"step (\d+)/100", capsys.readouterr().err.replace("\n", " "))
    assert steps == ["40", "80", "100"]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_live_panel_shows_where_the_run_stands(width: int) -> None:
    now = 0.0
    view = LiveTraining(clock=lambda: now)

    def screen() -> str:
        console = Console(file=io.StringIO(), width=width)
        with console.capture() as shown:
            console.print(view.renderable())
        lines = shown.get().splitlines()
        assert all(len(line) <= width for line in lines)
        return " ".join(" ".join(lines).split())

    assert "starting" in screen()
    view.phase({"phase": "branch", "step": 0, "steps": 100, "samples": 8})
    assert "branch: first steps" in screen()
    view.step(standing())
    view.validation({"phase": "three", "step": 9, "gain": {"3": 0.25, "15": -1.5}})
    for words in ("50/100", "150/400", "loss -30.12", "4.00 steps/s", "level 3 +0.25, 15 -1.50 dB"):
        assert words in screen()
    if width >= 60:
        for words in ("branch (2 of 5)", "all phases", "1:15 left", "1:01:40 left"):
            assert words in screen()
        now = 30.0
        assert "0:45 left" in screen()
        now = 300.0
        assert "0:00 left" in screen()
    view.busy("validating: a clip")
    assert "validating: a clip" in screen()
