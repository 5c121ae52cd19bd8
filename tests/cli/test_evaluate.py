"""`david eval`: from folders to the tables, and every way to ask for what cannot be."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from david_cli.cli.app import run
from david_cli.network.weights import read_info, save_network
from tests.cli.conftest import TINY
from tests.evaluation.folders import paint, paint_dvd, paint_levels, psnr_of
from tests.evaluation.networks import constant_network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Weights of a network that makes every picture two codes darker."""
    path = tmp_path / "models" / "darker.safetensors"
    path.parent.mkdir()
    phases = [{"levels": [11]}]
    history = {"row": "Single-7", "steps": 1500, "samples": 48000, "phases": phases}
    save_network(constant_network(TINY, [[-2]]), path, history, gain={"3": 9.0, "15": 1.5})
    return path


def gain(error: int) -> float:
    """What the model wins on frames that are so many codes too bright."""
    return psnr_of(abs(error - 2)) - psnr_of(error)


@pytest.fixture
def levels(tmp_path: Path) -> Path:
    """Two clips of seven frames, of which one is measured; one code of error at level 3."""
    for name, error in (("bay", 4), ("sea", 8)):
        errors = {3: [1] * 7, 7: [error] * 7, 11: [2 * error] * 7}
        paint_levels(tmp_path / "levels" / name, errors)
    return tmp_path / "levels"


@pytest.fixture
def dvd(tmp_path: Path) -> Path:
    """DVD's own folder: a long video and a short one."""
    paint_dvd(tmp_path / "quantitative_datasets" / "long", [2] * 9)
    paint_dvd(tmp_path / "quantitative_datasets" / "short", [8] * 7)
    return tmp_path / "quantitative_datasets"


def evaluated(*arguments: object) -> int:
    return run(["eval", *map(str, arguments), "--device", "cpu"])


def test_the_default_is_a_table_of_gains_for_each_method(
    levels: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(levels, "--model", "input", "--model", model) == 0
    out, err = capsys.readouterr()
    tables = out.split("\n\n")
    assert tables[0].splitlines() == [
        "| blurry input: gain in dB (input) | level 3 | level 7 | level 11 |",
        "|---|---:|---:|---:|",
        "| bay | +0.00 (48.13) | +0.00 (36.09) | +0.00 (30.07) |",
        "| sea | +0.00 (48.13) | +0.00 (30.07) | +0.00 (24.05) |",
        "| mean | +0.00 | +0.00 | +0.00 |",
    ]
    assert tables[2].splitlines() == [
        "| Single-7: gain in dB (input) | level 3 | level 7 | level 11 |",
        "|---|---:|---:|---:|",
        f"| bay | +0.00 (48.13) | {gain(4):+.2f} (36.09) | {gain(8):+.2f} (30.07) |",
        f"| sea | +0.00 (48.13) | {gain(8):+.2f} (30.07) | {gain(16):+.2f} (24.05) |",
        f"| mean | +0.00 | {(gain(4) + gain(8)) / 2:+.2f} | {(gain(8) + gain(16)) / 2:+.2f} |",
    ]
    assert "light blur left alone: yes" in tables[3]
    assert tables[3].endswith("\nnetworks on cpu, fp32\n")
    lines = err.splitlines()
    assert lines[0] == "david: blurry input: bay, level 3 (1 of 12)"
    assert lines[-1] == "david: Single-7: sea, level 11 (12 of 12)"


def test_several_tables_come_from_one_run(
    levels: Path, dvd: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [word for name in ("3", "1", "gains", "3") for word in ("--table", name)]
    assert evaluated(levels, dvd, "--model", model, *wanted) == 0
    out, err = capsys.readouterr()
    texts = [line.split(":")[0] for line in out.splitlines() if line and line[0] != "|"]
    note = "networks on cpu, fp32"
    assert texts == ["Table 3", note, "Table 1", note, "Mean gain in dB over 4 clips.", note]
    assert len(err.splitlines()) == 2 * 3 + 2
    assert "4 videos, 6 frames of level 7 and of unknown level." in out
    average = (psnr_of(2) + psnr_of(6) + 100 + psnr_of(6)) / 4  # 100 is what no error counts as
    assert f"| Single-7 | {average:.2f} (" in out
    assert "| 1,500 | 48,000 |" in out


def test_only_the_levels_of_the_tables_are_run(
    levels: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(levels / "bay" / "blur07")
    assert evaluated(levels, "--model", model, "--table", "2") == 0
    out, err = capsys.readouterr()
    announced = [line.split(", ")[1] for line in err.splitlines()]
    assert announced == ["level 11 (1 of 2)", "level 11 (2 of 2)"]
    assert f"| 7 | Single-7 | {(psnr_of(6) + psnr_of(14)) / 2:.2f} (" in out


def test_dvds_folder_gives_table_3(
    dvd: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(dvd, "--model", "input", "--model", model, "--table", "3", "--margin", 0) == 0
    out, err = capsys.readouterr()
    assert f"| blurry input | {(psnr_of(2) + psnr_of(8)) / 2:.2f} (" in out
    assert f"| Single-7 | {(100 + psnr_of(6)) / 2:.2f} (" in out
    assert "networks on cpu, fp32, margin 0 instead of 3\n" in out
    assert "2 videos, 16 frames of unknown level." in out
    assert err.startswith("david: blurry input: long, level unknown (1 of 4)\n")


def test_json_has_the_scores_the_costs_and_the_tables(
    levels: Path, dvd: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(levels, dvd, "--model", model, "--table", "1", "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    told = json.loads(out)
    assert told["schema"] == 2
    scores = told["results"]["Single-7"]
    assert [s["level"] for s in scores] == [3, 7, 11, 3, 7, 11, None, None]
    assert scores[1]["clip"] == "bay"
    assert scores[1]["input_psnr"] == pytest.approx(psnr_of(4), abs=1e-4)
    assert scores[1]["psnr"] == pytest.approx(psnr_of(2), abs=1e-4)
    assert [s["frames"] for s in scores[-2:]] == [3, 1]
    (method,) = told["methods"]
    assert (method["name"], method["steps"], method["stacked_frames"]) == ("Single-7", 1500, 7)
    assert list(told["tables"]) == ["1"]
    assert told["tables"]["1"][0]["short PSNR"] == pytest.approx(psnr_of(6), abs=1e-4)
    assert (told["margin"], told["device"], told["precision"]) == (3, "cpu", "fp32")


@pytest.mark.parametrize("by", ["--format", "suffix"])
def test_csv_goes_into_a_file(
    levels: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    target = tmp_path / "new" / ("scores.csv" if by == "suffix" else "scores")
    chosen = ["--format", "csv"] if by == "--format" else []
    assert evaluated(levels, "--model", model, "-o", target, *chosen) == 0
    assert capsys.readouterr().out == ""
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [(row["clip"], row["level"]) for row in rows[:2]] == [("bay", "3"), ("bay", "7")]
    assert len(rows) == 6
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_a_file_is_only_replaced_with_yes(
    dvd: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "table.md"
    target.write_text("mine")
    assert evaluated(dvd, "--model", model, "-o", target) == 4
    assert "table.md exists" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert evaluated(dvd, "--model", model, "-o", target, "--yes") == 0
    text = target.read_text()
    assert text.startswith("| Single-7: gain in dB (input) | all |\n")
    assert text.endswith("fp32\n")


def test_record_writes_the_gain_of_every_level_beside_what_is_known(
    levels: Path, dvd: Path, model: Path
) -> None:
    assert evaluated(levels, dvd, "--model", "input", "--model", model, "--record") == 0
    expected = {"3": 0, "7": (gain(4) + gain(8)) / 2, "11": (gain(8) + gain(16)) / 2, "15": 1.5}
    found = read_info(model).gain
    assert (list(found), found) == (list(expected), pytest.approx(expected, abs=1e-3))
    save_network(constant_network(TINY, [[-2]]), model, {})
    assert evaluated(levels, "--model", model, "--table", "3", "--record") == 0
    assert list(read_info(model).gain) == ["3", "7", "11"]  # not only that of the table


def test_what_the_guard_does_is_told_with_the_methods_name(
    dvd: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_network(constant_network(TINY, [[99]]), model, {"row": "too bright"})
    assert evaluated(dvd, "--model", model, "--model", "input", "-q") == 0
    words = "16 frames left as in the source, because the network's result was unusable"
    assert capsys.readouterr().err == f"david: warning: too bright: {words}\n"


def test_the_clip_where_one_stands_has_a_name(
    dvd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dvd / "long")
    assert evaluated(".", "--model", "input", "--table", "1") == 0
    assert "| method | long | average |" in capsys.readouterr().out


def test_a_table_that_cannot_be_written_is_printed(
    dvd: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    before = set(tmp_path.rglob("*"))
    monkeypatch.setattr(Path, "write_bytes", full)
    assert evaluated(dvd, "--model", model, "-o", tmp_path / "t.md", "-q") == 4
    out, err = capsys.readouterr()
    assert "| mean |" in out
    assert err == f"david: error: {tmp_path}/t.md cannot be written: No space left on device\n"
    assert set(tmp_path.rglob("*")) == before


def test_the_sheet_has_a_row_for_each_clip(dvd: Path, model: Path, tmp_path: Path) -> None:
    for side, grey in (("input", 103), ("GT", 100)):  # the others are larger and get cropped
        paint(dvd / "small" / side, [grey], (12, 20))
    sheet = tmp_path / "sheets" / "all.png"
    assert evaluated(dvd, "--model", "input", "--model", model, "--sheet", sheet) == 0
    with Image.open(sheet) as picture:
        width, height = picture.size
    assert width > 3 * 2 * 20  # input, result, truth at twice their size
    assert height > 3 * 2 * 12


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--table", "4"], 2, "--table 4: choose among levels, ssim, gains, 1, 2, 3"),
        (["--levels", "3;7"], 2, "--levels 3;7: give numbers"),
        (["--levels", "3", "--table", "3"], 2, "--table 3 is of level 7"),
        (["--levels", "15"], 3, "no clip of level 15"),
        (["--json", "--format", "csv"], 2, "--json and --format csv contradict"),
        (["-o", "."], 4, "is a folder"),
        (["--model", "input", "--table", "2"], 2, "compares single branches"),
        (["--model", "nobody"], 5, "no model named 'nobody'"),
        (["--table", "1", "--table", "3", "-o", "t.csv"], 2, "CSV holds one table, not 1 and 3"),
        (["-o", "file/t.md"], 4, "file is a file, not a folder"),
        (["--sheet", "file/s.png"], 4, "file is a file, not a folder"),
        (["--sheet", "s.jpg"], 2, "sheets are written as .png"),
        (["--sheet", "levels/a.png"], 4, "levels/a.png is a folder"),
        (["--sheet", "s.png"], 4, "s.png exists"),
        (["--sheet", "levels/bay/sharp/s.png"], 4, "among the frames of a clip"),
        (["-o", "levels/bay/blur03/t.md"], 4, "among the frames of a clip"),
        (["--record", "--levels", "3"], 2, "--record keeps what the protocol gives"),
        (["--record", "--margin", "0"], 2, "--record keeps what the protocol gives"),
    ],
)
def test_what_cannot_be_is_one_line(
    levels: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file", "s.png"):
        Path(name).write_text("mine")
    Path("levels", "a.png").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert evaluated(levels, *arguments) == code
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_bad_pairs_are_one_line(dvd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dvd / "long" / "GT" / "0004.png").unlink()
    assert evaluated(dvd, "--model", "input") == 3
    assert "0004.png has no partner" in capsys.readouterr().err
    assert evaluated(dvd / "nowhere", "--model", "input") == 3
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert evaluated(dvd / "short", "--model", "input", "--record") == 2
    assert "--record" in capsys.readouterr().err
