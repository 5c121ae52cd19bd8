"""Scores as text: what a file holds, to the last line end."""

from __future__ import annotations

import csv
import io
import json

import pytest

from david_cli.errors import UsageError
from david_cli.evaluation.methods import Method, Result
from david_cli.evaluation.pairs import ClipScore
from david_cli.evaluation.report import Format, Setting, as_text, check_csv
from david_cli.evaluation.tables import TableName
from david_cli.inference.guard import GuardEvents

RESULTS = [
    Result(
        Method("A", iter, stacked=7, events=GuardEvents(kept=2, tile_halved=1)),
        (ClipScore("bay", 11, 20.0, 22.0, 0.5, 0.6, 0.1, 4),),
    )
]


@pytest.mark.parametrize("form", ["markdown", "csv", "json"])
@pytest.mark.parametrize("name", ["levels", "2"])
def test_text_ends_with_one_line_end(form: Format, name: TableName) -> None:
    text = as_text(RESULTS, [name], form, Setting())
    assert text.endswith("\n") and not text.endswith("\n\n")


def test_csv_of_gains_and_of_ssim_is_every_score_once() -> None:
    check_csv(["levels", "ssim"])
    rows = list(csv.reader(io.StringIO(as_text(RESULTS, ["levels", "ssim"], "csv", Setting()))))
    assert len(rows) == 2
    assert rows[1][:3] == ["A", "bay", "11"]


@pytest.mark.parametrize("names", [["1", "2"], ["levels", "1"], ["ssim", "gains"]])
def test_csv_holds_one_table(names: list[TableName]) -> None:
    with pytest.raises(UsageError, match=r"CSV holds one table, not .* and "):
        check_csv(names)


def test_how_it_was_measured_is_told() -> None:
    usual, other = Setting(device="cuda:0", precision="fp16"), Setting(margin=0)
    tables = as_text(RESULTS, ["levels", "2"], "markdown", usual).split("\n| ")
    assert len([t for t in tables if "\nnetworks on cuda:0, fp16\n" in t]) == 2
    assert "networks on cpu, fp32, margin 0 instead of 3\n" in as_text(
        RESULTS, ["1"], "markdown", other
    )
    facts = json.loads(as_text(RESULTS, ["2", "levels"], "json", other))
    assert (facts["margin"], facts["device"], facts["precision"]) == (0, "cpu", "fp32")
    assert facts["notes"] == {"2": ["trained on levels that the file does not tell: A"]}
    assert facts["warnings"] == {
        "A": [
            "2 frames left as in the source, because the network's result was unusable",
            "memory ran out 1 time: smaller tiles were used",
        ]
    }
