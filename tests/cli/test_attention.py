"""`david attention` through the real thing with tiny networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from david_cli.cli.app import run
from david_cli.network.david import DavidConfig
from david_cli.network.weights import save_network
from tests.evaluation.folders import paint_dvd, paint_levels
from tests.evaluation.networks import constant_network, random_network

DUAL = DavidConfig(branches=(1, 7), modules=3, widths=(4, 4), attention_widths=(4, 4))


@pytest.fixture(scope="session")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny random network with attention of both kinds."""
    path = tmp_path_factory.mktemp("models") / "dual.safetensors"
    save_network(random_network(DUAL), path, {})
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Frames that are 20 and 30 codes too dark, at levels 3 and 15."""
    paint_levels(tmp_path / "pairs" / "clip", {3: [-20] * 8, 15: [-30] * 8})
    return tmp_path / "pairs"


@pytest.mark.parametrize(("frame", "number"), [("6", 6), ("0.2s", 6), ("0:00.19", 5), (None, 1)])
def test_a_frame_becomes_a_picture(
    clip: Path,
    dual: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    frame: str | None,
    number: int,
) -> None:
    from david_cli.evaluation import figures

    seen: list[str] = []
    draw = figures.attention_sheet

    def watched(blurry: figures.Panel, *others: object, **named: object) -> Image.Image:
        seen.append(blurry.label)
        return draw(blurry, *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(figures, "attention_sheet", watched)
    target = tmp_path / "a.png"
    chosen = [] if frame is None else ["--frame", frame]
    assert run(["attention", str(clip), *chosen, "-o", str(target), "--model", str(dual)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(f"david: wrote {target}: 1 frame in ")
    assert seen == [f"blurry frame {number}"]
    with Image.open(target) as picture:
        picture.load()
        assert picture.format == "PNG"


def test_frames_become_a_video(
    frame_folder: Path, dual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "a.mp4"
    command = ["attention", str(frame_folder), "-o", str(target), "--model", str(dual)]
    assert run([*command, "--frames", "4-6", "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "done"]
    assert (events[0]["total"], events[-1]["frames"]) == (3, 3)
    assert run(command) == 4
    assert "--yes" in capsys.readouterr().err
    assert run([*command, "--yes", "--frames", "9-99", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_measuring_says_what_attention_is_worth(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "known.safetensors"
    mix = {"external": [0.2, 0.2, 0.6], "internal": [0.1, 0.9]}  # adds 0.6 * 0.9 * 30 = 16.2
    save_network(constant_network(DUAL, [[0, 0], [0, 0], [0, 30]], **mix), model, {})
    assert run(["attention", str(pairs), "--measure", "--model", str(model)]) == 0
    out, err = capsys.readouterr()
    assert "| module 11 | 0.600 | 0.600 | 0.600 |" in out
    assert "| module 7: 1 frame | 0.100 | 0.100 | 0.100 |" in out
    assert "The attention of known is degenerate:" in out
    assert "- NO: module 11 weighs 0.600 at level 3, 0.600 at level 15" in out
    assert "clip 2 of 2: clip, level 15" in err
    assert run(["attention", str(pairs), "--measure", "--model", str(model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["degenerate"]) == ("known", True)
    assert [row["level 15"] for row in facts["external"]] == pytest.approx(
        [0.2, 0.2, 0.6], abs=1e-3
    )
    assert [check["holds"] for check in facts["checks"]] == [True, False, True, True]
    assert len(facts["clips"]) == 2


def test_clips_of_unknown_level_are_measured(
    tmp_path: Path, dual: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = paint_dvd(tmp_path / "set" / "video", [-5] * 7)
    assert run(["attention", str(video.parent), "--measure", "--model", str(dual), "-q"]) == 0
    out, err = capsys.readouterr()
    assert (out.splitlines()[0], err) == ("| mean external weight | all | mean |", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("clip", 2, "-o"),
        ("clip -o a.png --measure", 2, "--measure"),
        ("clip -o a.png --json", 2, "--json"),
        ("clip -o a.jpg", 2, ".png"),
        ("clip -o a.mp4 --frame 2", 2, "--frames A-B"),
        ("clip -o a.png --frames 2-3", 2, "give --frame"),
        ("clip -o a.png --frame 0", 2, "counted from 1"),
        ("clip -o a.png --frame 1.5", 2, "1.5s"),
        ("clip -o a.png --frame soon", 2, "soon"),
        ("clip -o a.png --frame 13", 3, "frame 13"),
        ("clip -o a.png --frame 9s", 3, "over after"),
        ("clip -o a.mp4 --frames 20-30", 3, "frame 20"),
        ("clip -o a.mp4 --frames 6-4", 2, "6-4"),
        ("clip -o a.mp4 --frames x", 2, "--frames x"),
        ("folder -o a.png --frame 1s", 2, "no times"),
        ("folder -o no/a.png", 4, "no such folder"),
        ("folder -o no/a.mp4", 4, "no such folder"),
        ("missing.mp4 -o a.png", 3, "missing.mp4"),
        ("empty -o a.png", 3, "no frames"),
        ("empty --measure", 3, "paired clips"),
        ("pairs --measure --frame 3", 2, "--frame"),
        ("clip -o a.png --model tiny", 5, "no attention"),
        ("pairs --measure --model tiny", 5, "--model david"),
        ("clip -o a.png --tile 3", 2, "tile"),
        ("clip -o clip", 4, "input itself"),
    ],
)
def test_bad_input_is_one_line_a_code_and_no_file(
    arguments: str,
    code: int,
    words: str,
    clip: Path,
    frame_folder: Path,
    pairs: Path,
    dual: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"clip": clip, "folder": frame_folder, "tiny": tiny_model}
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    words_of_command = [str(names.get(word, word)) for word in arguments.split()]
    command = ["attention", *words_of_command]
    if "--model" not in command:
        command += ["--model", str(dual)]
    found = run(command)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("david: error: ")]
    assert (found, len(lines), out) == (code, 1, ""), err
    assert words in lines[0]
    assert set(tmp_path.rglob("*")) == before


def test_help_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["attention", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--frame ", "--frames", "--measure", "--json", "--yes", "--model"):
        assert option in out
