"""Reports: what follows from the numbers, the file, the tables, the comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from david_cli.benchmark.ceilings import best_rate
from david_cli.benchmark.compare import comparison_of
from david_cli.benchmark.results import Report, read_report, to_json
from david_cli.benchmark.tables import tables_of
from david_cli.errors import InputError
from david_cli.evaluation.render import to_markdown, to_rows
from tests.benchmark.reports import CEILINGS, MACHINE, REPORT, RESULT, faster


def test_ratios_are_those_of_the_definition() -> None:
    assert RESULT.over_convolutions == pytest.approx(0.05 / 0.04)
    assert RESULT.cpu_over_convolutions == pytest.approx(0.088 / 0.08)
    assert RESULT.over_stages == pytest.approx(0.055 / (0.1 / 2))  # 0.1 CPU-seconds on two cores
    assert RESULT.cpu_over_stages == pytest.approx(0.105 / 0.1)
    assert RESULT.over_slowest == pytest.approx(0.055 / 0.05)
    assert RESULT.end_to_end.fps == pytest.approx(100 / 5.5)


def test_the_best_rate_is_of_its_kind_and_precision() -> None:
    assert best_rate(CEILINGS, "3x3 convolution", "fp32") == 1.6e11
    assert best_rate(CEILINGS, "matrix product", "bf16") is None


def test_a_report_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(to_json(REPORT))
    assert read_report(path) == REPORT
    plain = replace(REPORT, cases=(replace(RESULT, complete=None),))
    path.write_text(to_json(plain))
    assert read_report(path) == plain
    path.write_text(to_json(Report(MACHINE)))
    assert read_report(path) == Report(MACHINE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "machine": 3}'])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"other\.json is no report"):
        read_report(path)


def test_a_missing_and_an_old_report_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_report(tmp_path / "none.json")
    old = tmp_path / "old.json"
    old.write_text(json.dumps({**json.loads(to_json(REPORT)), "schema": 0}))
    with pytest.raises(InputError, match="another version"):
        read_report(old)


def test_tables_show_the_numbers_that_count() -> None:
    text = "\n".join(map(to_markdown, tables_of(REPORT)))
    for words in (
        "| david-lite, 360p, fp32, torch | 18.2 | 99 | 1.10 | 1.05 | 1.10 |",
        "| 50.0 | 50.0 | 40.0 | 1.25 | 1.10 | 4.0 | 80 | 50% | 40% | whole frames |",
        "2.0 (4.0) | 50.0 (88.0) | 6.0 (8.0)",
        "| better | 50.0 | 100.0 | 4.00 | 4.00 | 91.2 |",
        "| david-lite, 4k, 60, 1024 | 954 | 973 | +2.0% | 1049 | 1144 |",
        "| aten::conv | 30.00 | 75.0% | 19 |",
        "| network | encode |",
        "david, 4k, fp32: memory ran out",
        "A processor, 2 cores, 16 GiB, Linux x86_64; david 1, torch 2",
    ):
        assert words in text
    assert list(tables_of(Report(MACHINE))) == []


def test_a_report_is_as_fast_as_itself_and_another_by_its_ratio() -> None:
    for row in to_rows(comparison_of(REPORT, REPORT)):
        assert {value for value in list(row.values())[1:] if value is not None} == {1.0}
    row = to_rows(comparison_of(faster(2.0), REPORT))[-1]
    assert list(row.values()) == ["david-lite, 360p, fp32, torch", 2.0, 2.0, 0.5, 1.0]


def test_the_comparison_says_what_is_not_comparable() -> None:
    assert comparison_of(REPORT, REPORT).notes == ()
    other = replace(REPORT, machine=replace(MACHINE, cores=64), cases=())
    said = "\n".join(comparison_of(REPORT, other).notes)
    assert "another machine: A processor, 64 cores" in said
    assert "only in one of the two: david-lite, 360p, fp32, torch" in said
    newer = replace(REPORT, machine=replace(MACHINE, versions={"david": "2"}))
    assert "another machine" not in "\n".join(comparison_of(newer, REPORT).notes)
    assert comparison_of(newer, REPORT).notes
