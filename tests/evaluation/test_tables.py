"""The tables: averages worked out by hand, on scores made by hand."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from david_cli.errors import InputError, UsageError
from david_cli.evaluation.methods import Method, Result
from david_cli.evaluation.pairs import ClipScore, PairedClip
from david_cli.evaluation.render import Cell, Column, Table, to_csv, to_markdown, to_rows
from david_cli.evaluation.tables import (
    TableName,
    average,
    check_tables,
    methods_table,
    needed_levels,
    scores_table,
    tables_of,
    video_means,
)


def score(
    clip: str, level: int | None, frames: int, psnr: float, gain: float = 1.0, seconds: float = 0.5
) -> ClipScore:
    return ClipScore(clip, level, psnr - gain, psnr, 0.5, psnr / 100, seconds, frames)


LONG_AND_SHORT = (
    score("long", 7, 8, 30.0, 2.0, seconds=0.1),
    score("long", 11, 2, 20.0, 1.0, seconds=0.6),
    score("short", 7, 1, 40.0, 0.5, seconds=1.1),
)
"""Frames count alike in a video, whatever their level; videos alike, whatever their length."""


def result(name: str, scores: tuple[ClipScore, ...] = LONG_AND_SHORT, **costs: object) -> Result:
    return Result(Method(name, iter, **costs), scores)  # type: ignore[arg-type]


def only_row(results: list[Result], name: TableName) -> dict[str, Cell]:
    (table,) = tables_of(results, name)
    (row,) = to_rows(table)
    return row


def test_psnr_is_averaged_over_the_frames_of_a_video_and_then_over_videos() -> None:
    means = video_means(LONG_AND_SHORT)
    assert means["long"].psnr == pytest.approx((8 * 30 + 2 * 20) / 10)  # 28, not 25
    assert means["short"].psnr == pytest.approx(40)
    assert average(LONG_AND_SHORT).psnr == pytest.approx((28 + 40) / 2)  # 34, not 29.1 over frames
    assert average(LONG_AND_SHORT).ssim == pytest.approx(0.34)
    assert average(LONG_AND_SHORT).gain == pytest.approx((1.8 + 0.5) / 2)


def test_table_1_has_each_video_and_the_average_beside_the_costs() -> None:
    costs = {"parameters": 1_500_000, "gmacs": 2.5, "steps": 4000, "samples": 128_000}
    (table,) = tables_of([result("A", **costs), result("B")], "1")
    first, second = to_rows(table)
    assert first == {
        "method": "A",
        "long PSNR": 28.0,
        "long SSIM": 0.28,
        "short PSNR": 40.0,
        "short SSIM": 0.4,
        "average PSNR": 34.0,
        "average SSIM": 0.34,
        "M parameters": 1.5,
        "GMACs": 2.5,
        "steps": 4000,
        "samples": 128_000,
        "seconds per frame": pytest.approx((8 * 0.1 + 2 * 0.6 + 1.1) / 11, abs=1e-5),
    }
    assert [second[name] for name in ("M parameters", "GMACs", "steps", "samples")] == [None] * 4
    text = to_markdown(table).splitlines()
    assert text[0].startswith("Table 1: PSNR in dB (SSIM)")
    assert text[0].endswith("2 videos, 11 frames of level 7, 11.")
    assert text[2].startswith("| method | long | short | average | M parameters | GMACs |")
    assert text[3] == "|---|" + "---:|" * 8
    assert text[4] == (
        "| A | 28.00 (0.2800) | 40.00 (0.4000) | 34.00 (0.3400) | 1.50 | 2.50 | 4,000 | 128,000 "
        "| 0.282 |"
    )
    assert text[5].endswith("|  |  |  |  | 0.282 |")


def test_table_2_is_of_single_branches_at_level_11_by_stacked_frames() -> None:
    at_11 = score("long", 11, 2, 20.0), score("short", 11, 2, 23.0)
    results = [
        result("nine", (*LONG_AND_SHORT, at_11[1]), stacked=9, levels=(11,)),
        result("Dual Att", at_11, levels=(11,)),
        result("one", (*at_11, score("long", 7, 9, 99.0)), stacked=1, levels=(11,)),
        result("of level 3", at_11, stacked=7, levels=(3,)),
        result("of levels 7 and 11", at_11, stacked=7, levels=(7, 11)),
        result("of all levels", at_11, stacked=7, levels=()),
    ]
    (table,) = tables_of(results, "2")
    rows = to_rows(table)
    assert [(row["stacked frames"], row["method"]) for row in rows] == [(1, "one"), (9, "nine")]
    assert [row["average PSNR"] for row in rows] == [21.5, 21.5]
    assert [row["gain in dB"] for row in rows] == [1.0, 1.0]
    assert "2 videos, 4 frames of level 11." in table.caption
    assert table.notes == ()


def test_table_2_keeps_single_branches_of_unknown_training_and_says_so() -> None:
    results = [result("old", stacked=7), result("new", stacked=5, levels=(11,))]
    (table,) = tables_of(results, "2")
    assert [row["method"] for row in to_rows(table)] == ["new", "old"]
    assert table.notes == ("trained on levels that the file does not tell: old",)


def test_table_3_is_of_level_7() -> None:
    row = only_row([result("A")], "3")
    assert row["average PSNR"] == pytest.approx(35)
    assert row["gain in dB"] == pytest.approx(1.25)


@pytest.mark.parametrize("name", ["1", "2", "3"])
def test_clips_of_unknown_level_belong_to_every_table(name: TableName) -> None:
    scores = (score("a", None, 5, 30.0), score("b", None, 1, 20.0))
    assert only_row([result("A", scores, stacked=7)], name)["average PSNR"] == 25
    (table,) = tables_of([result("A", scores, stacked=7)], name)
    assert table.caption.endswith("2 videos, 6 frames of unknown level.")


def test_gains_are_means_over_clips_at_each_level() -> None:
    scores = (
        *(score("a", 3, 5, 50.0, -1.0), score("b", 3, 1, 30.0, 0.0)),
        *(score("a", 7, 5, 30.0, 1.0), score("b", 7, 1, 30.0, 2.0)),
        *(score("a", 15, 5, 30.0, 3.0), score("b", 15, 1, 30.0, 4.0)),
    )
    row = only_row([result("A", scores)], "gains")
    assert (row["level 3"], row["level 7"], row["level 15"]) == (-0.5, 1.5, 3.5)
    assert row["mean of 7-15"] == 2.5
    assert row["light blur left alone"] == "yes"  # still above 42 dB
    assert "mean of 7-7" not in only_row([result("A", scores[:4])], "gains")
    broken = (*scores[1:], score("a", 3, 5, 40.0, -1.0))
    assert only_row([result("A", broken)], "gains")["light blur left alone"] == "NOT on a"


def test_levels_are_a_table_for_each_method() -> None:
    scores = (
        *(score("a", 3, 3, 47.55, 0.55), score("b", 3, 3, 40.0, -0.25)),
        *(score("a", 7, 3, 41.06, 1.96), score("a", 11, 3, 35.0, 1.0)),
    )
    first, second = tables_of([result("lite", scores), result("B", scores)], "levels")
    assert to_markdown(second).startswith("| B: gain in dB (input) |")
    assert to_markdown(first) == (
        "| lite: gain in dB (input) | level 3 | level 7 | level 11 |\n"
        "|---|---:|---:|---:|\n"
        "| a | +0.55 (47.00) | +1.96 (39.10) | +1.00 (34.00) |\n"
        "| b | -0.25 (40.25) |  |  |\n"
        "| mean | +0.15 | +1.96 | +1.00 |\n"
        "\n"
        "mean of the levels above 3: +1.48 dB\n"
        "light blur left alone: NOT on b\n"
        "seconds per frame: 0.500\n"
    )


def test_a_level_that_is_not_known_is_one_column() -> None:
    (table,) = tables_of([result("A", (score("a", None, 3, 30.0, 1.0),))], "levels")
    assert to_markdown(table).splitlines()[:4] == [
        "| A: gain in dB (input) | all |",
        "|---|---:|",
        "| a | +1.00 (29.00) |",
        "| mean | +1.00 |",
    ]


def test_ssim_has_the_input_beside_it() -> None:
    scores = (score("a", 7, 3, 90.0), score("b", 7, 1, 80.0))
    (table,) = tables_of([result("A", scores)], "ssim")
    lines = to_markdown(table).splitlines()
    assert lines[2:] == [
        "| a | 0.9000 (0.5000) |",
        "| b | 0.8000 (0.5000) |",
        "| mean | 0.8500 (0.5000) |",
    ]


def test_only_levels_that_a_table_needs_are_run() -> None:
    assert needed_levels(["levels"]) is None
    assert needed_levels(["2"]) == [11]
    assert needed_levels(["3", "2"]) == [7, 11]
    assert needed_levels(["2", "1"]) is None
    assert needed_levels(["1"], [3, 7]) == [3, 7]
    assert needed_levels(["3"], [3, 7]) == [7]
    with pytest.raises(UsageError, match="--table 2 is of level 11, which --levels leaves out"):
        needed_levels(["2"], [3, 7])


def test_tables_that_would_be_empty_are_refused() -> None:
    def clip(level: int | None) -> PairedClip:
        return PairedClip("c", level, (Path("b"),), (Path("s"),), (16, 16))

    dual, single = Method("Dual", iter), Method("Single", iter, stacked=3)
    with pytest.raises(InputError, match="--table 3 is of level 7, and no clip is"):
        check_tables(["levels", "3"], [dual], [clip(11)])
    other = replace(single, levels=(3,))
    with pytest.raises(UsageError, match=r"single branches .* trained on level 11"):
        check_tables(["2"], [dual, other], [clip(11)])
    for level in (11, None):
        check_tables(["1", "2"], [dual, single], [clip(3), clip(level)])


def test_csv_has_one_plain_value_a_cell() -> None:
    (table,) = tables_of([result('A "x", y', parameters=1_234_567, steps=5000)], "1")
    (row,) = csv.DictReader(io.StringIO(to_csv(table)))
    assert row["method"] == 'A "x", y'
    assert (row["long PSNR"], row["long SSIM"]) == ("28.0", "0.28")
    assert (row["M parameters"], row["steps"], row["GMACs"]) == ("1.23457", "5000", "")


def test_every_score_is_a_row_for_programs() -> None:
    rows = to_rows(scores_table([result("A"), result("B", (score("dvd", None, 9, 30.0),))]))
    assert len(rows) == 4
    assert rows[0] == {
        "method": "A",
        "clip": "long",
        "level": 7,
        "frames": 8,
        "input_psnr": 28.0,
        "psnr": 30.0,
        "gain": 2.0,
        "input_ssim": 0.5,
        "ssim": 0.3,
        "seconds_per_frame": 0.1,
    }
    assert rows[3]["level"] is None


def test_methods_for_programs_have_costs_and_averages() -> None:
    (row,) = to_rows(methods_table([result("A", parameters=7, stacked=3)]))
    assert (row["name"], row["parameters"], row["stacked_frames"]) == ("A", 7, 3)
    assert (row["psnr"], row["ssim"], row["gain"]) == (34.0, 0.34, 1.15)


def test_a_clip_called_average_is_not_the_average() -> None:
    scores = (score("a", 7, 1, 20.0), score("average", 7, 1, 30.0))
    (table,) = tables_of([result("A", scores)], "1")
    head, _, row = to_markdown(table).splitlines()[2:5]
    assert head.startswith("| method | a | average | average | M parameters |")
    assert row.startswith("| A | 20.00 (0.2000) | 30.00 (0.3000) | 25.00 (0.2500) |")
    (values,) = to_rows(table)
    assert (values["average PSNR"], values["average PSNR #2"]) == (30.0, 25.0)
    assert "average PSNR,average SSIM,average PSNR #2,average SSIM #2," in to_csv(table)


def test_names_cannot_break_a_table() -> None:
    table = Table((Column("a|b"), Column("n", form="{:d}")), (("x|y", 1), (None, None)))
    assert to_markdown(table) == "| a\\|b | n |\n|---|---:|\n| x\\|y | 1 |\n|  |  |\n"
