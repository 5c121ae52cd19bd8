"""`david attention` through the real thing with tiny networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from david_cli.cli.app import run
from david_cli.network.david import DavidConfig
from david_cli.network.weights import save_network
from tests.evaluation.folders import paint_dvd, paint_levels
from tests.evaluation.networks import constant_network, random_network
from tests.video.clips import Clip, make_clip

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
    assert (events[0]["source"], events[0]["target"]) == (str(frame_folder), str(target))
    assert (events[-1]["source"], events[-1]["target"]) == (str(frame_folder), str(target))
    told = events[-2]
    assert (told["event"], told["total"]) == ("progress", 3)
    for event in (told, events[-1]):
        assert event["bottleneck"] in ("decode", "network", "encode")
        assert event["stage_seconds"]
    assert events[-1]["warnings"] == []
    assert run(command) == 4
    assert "--yes" in capsys.readouterr().err
    assert run([*command, "--yes", "--frames", "9-99", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mkv", "a.png"])
def test_what_was_lost_is_told(
    dual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The last frame of a clip that ends within it; the frames asked for are the first."""
    source = make_clip(tmp_path / "clip.y4m", Clip(codec="rawvideo"))
    source.write_bytes(source.read_bytes()[:-1000])
    chosen = ["--frames", "9-20"] if name == "a.mkv" else ["--frame", "9"]
    command = ["attention", str(source), "-o", str(tmp_path / name), "--model", str(dual)]
    assert run([*command, *chosen, "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (warning,) = [event["message"] for event in events if event["event"] == "warning"]
    assert warning.startswith("decoding stopped at frame 9 (0.360 s)")
    assert events[-1]["warnings"] == [warning]


def test_a_picture_is_one_frame(
    frame_folder: Path, dual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["attention", str(frame_folder), "--frame", "3", "-o", str(tmp_path / "a.png")]
    assert run([*command, "--model", str(dual), "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["start", "progress", "done"]
    assert [event.get("total") for event in events] == [1, 1, None]
    assert events[-1]["frames"] == 1


def test_measuring_says_what_attention_is_worth(
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from david_cli.inference import deblurrer as running

    def asked(*_: object) -> int:
        raise AssertionError("frames are whole, however much memory there is")

    model = tmp_path / "known.safetensors"
    mix = {"external": [0.2, 0.2, 0.6], "internal": [0.1, 0.9]}  # adds 0.6 * 0.9 * 30 = 16.2
    save_network(constant_network(DUAL, [[0, 0], [0, 0], [0, 30]], **mix), model, {})
    monkeypatch.setattr(running, "tile_for_memory", asked)
    command = ["attention", str(pairs), "--measure", "--model", str(model), "--device", "cpu"]
    assert run(command) == 0
    out, err = capsys.readouterr()
    assert "| module 11 | 0.600 | 0.600 | 0.600 |" in out
    assert "| module 7: 1 frame | 0.100 | 0.100 | 0.100 |" in out
    assert "The attention of known (on cpu, fp32) is degenerate:" in out
    assert "- NO: module 11 weighs 0.600 at level 3, 0.600 at level 15" in out
    assert "clip 2 of 2: clip, level 15" in err
    assert run([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["degenerate"]) == ("known", True)
    assert [facts[key] for key in ("device", "precision", "tile", "margin")] == [
        "cpu",
        "fp32",
        0,
        3,
    ]
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
    assert "- not judged: module 11 weighs more where blur is heavier" in out


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
        ("missing.mp4 -o clip", 3, "missing.mp4"),
        ("clip -o a.txt", 2, "a.txt: neither .png nor a video"),
        ("clip -o a", 2, "a: neither .png nor a video"),
        ("clip -o a.gif", 2, ".png"),
        ("folder -o scans/f1.png --yes", 4, "inside of the input"),
        ("folder -o scans/new.mp4 --yes", 4, "inside of the input"),
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
    refused: Callable[[list[str], int, str], None],
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"clip": clip, "folder": frame_folder, "tiny": tiny_model}
    words_of_command = [str(names.get(word, word)) for word in arguments.split()]
    command = ["attention", *words_of_command]
    if "--model" not in command:
        command += ["--model", str(dual)]
    refused(command, code, words)


def test_help_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["attention", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--frame ", "--frames", "--measure", "--json", "--yes", "--model"):
        assert option in out
