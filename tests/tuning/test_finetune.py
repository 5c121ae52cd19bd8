"""`david finetune` from end to end, with a network and clips that take moments."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from david_cli.cli.app import run
from david_cli.errors import InputError
from david_cli.network.david import David, DavidConfig
from david_cli.network.weights import load_network, read_info, save_network
from david_cli.training.recipe import Phase, Recipe
from david_cli.tuning import data, finetune
from david_cli.tuning.verdict import Verdict
from tests.tuning.footage import write_panning

TINY = DavidConfig(modules=1, branches=(7,), widths=(4, 4), attention_widths=(4,))
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a model and a clip; samples, steps and crops of a tiny size."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_network(David(TINY), Path("tiny.safetensors"), {"steps": 3})
    write_panning(Path("clip.mkv"), 330)
    small = replace(finetune.SAMPLES, size=32, crops=1, levels=(3, 7), interpolate=1)
    quick = replace(finetune.SCHEDULE, batch=2, crop=16, log_every=1)
    defaults = finetune.FinetuneSettings.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "samples", small)
    monkeypatch.setitem(defaults, "training", quick)
    monkeypatch.setattr(finetune, "MOST_VISITS", 2)
    monkeypatch.setattr(data, "MOST_SAMPLES", 16)
    return tmp_path


FINETUNE = ["finetune", "clip.mkv", "-o", "mine.safetensors", "--model", "tiny.safetensors"]
FINETUNE += ["--minutes", "0.05", "--device", "cpu"]


def test_weights_numbers_and_a_picture_come_of_it(here: Path, capsys: Capture) -> None:
    assert run(FINETUNE) == 0
    out, err = capsys.readouterr()
    assert {path.name for path in here.iterdir()} == {
        "clip.mkv", "tiny.safetensors", "mine.safetensors", "mine.png",
    }  # fmt: skip
    info = read_info(Path("mine.safetensors"))
    assert info.config == TINY and set(info.gain) == {"3", "7"}
    assert info.training["phases"][0]["start"] == ["tiny.safetensors"]
    assert 3 < info.training["steps"] <= 3 + 16  # those of the model, and what samples are good for
    with Image.open("mine.png") as picture:
        assert picture.width > 4 * 64
    heads = out.splitlines()
    assert "held-out frames of 1 clip" in heads[0]
    assert heads[1].split() == ["blur", "tiny", "mine"]
    assert [line.split()[:-2] for line in heads[2:]] == [["level", "3"], ["level", "7"], ["mean"]]
    assert "on frames they have not seen" in err and ".run" not in err
    before, after = load_network("tiny.safetensors"), load_network("mine.safetensors")
    changed = zip(before.parameters(), after.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in changed)


def test_an_interrupted_run_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    made: list[str] = []
    real, judge = data._make_pack, finetune._judge

    def noted(*arguments: object) -> None:
        if not Path(str(arguments[2])).exists():
            made.append(str(arguments[2]))
        real(*arguments)  # type: ignore[arg-type]

    def stop(*_: object) -> Verdict:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "_make_pack", noted)
    monkeypatch.setattr(finetune, "_judge", stop)
    assert run(FINETUNE) == 130
    assert "what is done is kept, and this goes on: david finetune" in capsys.readouterr().err
    trained = Path("mine.safetensors.run/run/finetune.safetensors").read_bytes()
    count = len(made)
    assert count and not Path("mine.safetensors").exists()
    assert run([*FINETUNE, "--model", "david-lite"]) == 3
    assert "is an interrupted run" in capsys.readouterr().err
    monkeypatch.setattr(finetune, "_judge", judge)
    assert run(FINETUNE) == 0
    assert len(made) == count  # no sample is made twice
    assert Path("mine.safetensors").stat().st_size == pytest.approx(len(trained), abs=200)
    assert not Path("mine.safetensors.run").exists()


def test_worse_weights_are_called_worse(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    bad = Verdict("tiny", Path("mine.safetensors"), {3: 1.0}, {3: 0.5}, clips=1, frames=8)
    monkeypatch.setattr(finetune, "_judge", lambda *_: bad)
    assert run(FINETUNE) == 0
    assert "david: warning: the fine-tuned weights are WORSE than tiny" in capsys.readouterr().err
    assert read_info(Path("mine.safetensors")).gain == {"3": 0.5}


def test_events_end_with_the_verdict(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    good = Verdict("tiny", Path("mine.safetensors"), {3: 1.0}, {3: 1.5}, clips=1, frames=8)
    monkeypatch.setattr(finetune, "_judge", lambda *_: good)
    assert run([*FINETUNE, "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "done"]
    assert (events[-1]["change"], events[-1]["picture"]) == (0.5, "mine.png")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-o", "mine.pt"], 2, "ends in .safetensors"),
        (["-o", "absent/mine.safetensors"], 4, "is no folder"),
        (["-o", "tiny.safetensors"], 4, "--yes overwrites it"),
        (["--picture", "mine.jpg"], 2, "ends in .png"),
        (["--model", "nothing"], 5, "no model named 'nothing'"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    here: Path, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    before = set(here.rglob("*"))
    assert run([*FINETUNE, *arguments]) == code
    assert message in capsys.readouterr().err
    assert set(here.rglob("*")) == before


def test_short_videos_are_named(here: Path, capsys: Capture) -> None:
    write_panning(Path("short.mkv"), 60)
    assert run(["finetune", "short.mkv", *FINETUNE[2:]]) == 3
    err = capsys.readouterr().err
    assert "short.mkv is left out" in err and "no video is long enough" in err
    assert not Path("mine.safetensors.run").exists()  # it would be in the way of other videos


def test_footage_of_no_use_leaves_no_run_behind(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def useless(*arguments: object) -> None:
        raise InputError("cuts everywhere")

    monkeypatch.setattr(data, "_make_pack", useless)
    assert run(FINETUNE) == 3
    assert "cuts everywhere" in capsys.readouterr().err
    assert {path.name for path in here.iterdir()} == {"clip.mkv", "tiny.safetensors"}


def test_no_sample_is_trained_on_too_often(tmp_path: Path) -> None:
    (tmp_path / "pack.json").write_text('{"measured": {"samples": {"3": 6, "7": 4}}}')
    told: list[str] = []
    watcher = SimpleNamespace(note=told.append)
    for steps, expected in ((1000, 200), (150, 150)):
        schedule = replace(finetune.SCHEDULE, steps=steps, batch=2)
        recipe = Recipe("finetune", (Phase("finetune", TINY, schedule),))
        limited = finetune._limited(recipe, [tmp_path], watcher)  # type: ignore[arg-type]
        assert limited.phases[0].training.steps == expected
    assert len(told) == 1 and "10 samples are good for 200 steps, not 1000" in told[0]
