"""The log of a run: every step once, however often the run was stopped."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from david_cli.errors import InputError
from david_cli.training.log import SCHEMA, RunLog, read_log
from david_cli.training.recipe import Phase
from david_cli.training.trainer import StepLog
from tests.network.test_david import SINGLE
from tests.training.quick import QUICK

BRANCH = Phase("branch", SINGLE, QUICK)
THREE = Phase("three", SINGLE, replace(QUICK, levels=(3, 7)), start=("branch",), row="Single")


def step_log(step: int) -> StepLog:
    return StepLog(step, -30.123456789 + step, 0.5, 1.0, 1e-4 / 3, 2.0 * step)


def write_steps(log: RunLog, phase: Phase, first: int, last: int) -> None:
    """A run from one step to another, with a validation at every other step."""
    log.phase(phase, first, 8)
    for step in range(first + 1, last + 1):
        log.step(phase, step_log(step), 3.0)
        if step % 2 == 0:
            log.validation(phase, step, {"3": 0.1 + step, "15": -0.25}, 1.04)


def figures(path: Path) -> list[tuple[str, str, int]]:
    """The log without its beginnings, which tell how often a run was stopped."""
    kept = [r for r in read_log(path) if r["event"] != "phase"]
    return [(r["event"], r["phase"], r["step"]) for r in kept]


@pytest.mark.parametrize(
    ("checkpoint", "stopped"), list(itertools.combinations_with_replacement(range(7), 2))
)
def test_a_resumed_log_equals_a_straight_one(checkpoint: int, stopped: int, tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    for folder in (straight, resumed):
        write_steps(RunLog(folder), THREE, 0, 6)
    write_steps(RunLog(straight), BRANCH, 0, 6)
    write_steps(RunLog(resumed), BRANCH, 0, stopped)
    for _ in range(2):  # stopped at once and resumed once more
        write_steps(RunLog(resumed), BRANCH, checkpoint, 6)
    assert figures(resumed / "log.jsonl") == figures(straight / "log.jsonl")
    starts = [r["step"] for r in read_log(resumed / "log.jsonl") if r["event"] == "phase"]
    assert starts == ([0, 0] if checkpoint == 0 else [0, 0, checkpoint])


def test_records_hold_what_they_are_told(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    write_steps(log, THREE, 0, 6)
    log.phase_done(THREE, tmp_path / "three.safetensors", 12.34)
    records = read_log(tmp_path / "log.jsonl")
    assert records == json.loads(json.dumps(log.records))
    phase, step, *_, validation, done = records
    assert {r["schema"] for r in records} == {SCHEMA}
    assert (phase["row"], phase["samples"], phase["steps"]) == ("Single", 8, 6)
    assert phase["training"]["levels"] == [3, 7]
    assert phase["network"]["kind"] == "david"
    assert (step["step"], step["loss"], step["lr"]) == (1, -29.1235, 3.33333e-05)
    assert step["steps_per_second"] == 3.0
    assert (validation["gain"], validation["seconds"]) == ({"3": 6.1, "15": -0.25}, 1.0)
    assert (done["weights"], done["step"], done["seconds"]) == ("three.safetensors", 6, 12.3)


def test_lines_are_only_added_while_a_phase_runs(tmp_path: Path) -> None:
    log, seen = RunLog(tmp_path), b""
    log.phase(BRANCH, 0, 8)
    for step in range(1, 7):
        log.step(BRANCH, step_log(step), 3.0)
        written = (tmp_path / "log.jsonl").read_bytes()
        assert written.startswith(seen)
        assert written.count(b"\n") == step + 1
        seen = written


def test_it_knows_what_is_at_the_end_of_a_phase(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    write_steps(log, BRANCH, 0, 5)
    assert not log.has("validation", BRANCH)
    write_steps(log, BRANCH, 5, 6)
    assert log.has("validation", BRANCH)
    assert not log.has("phase_done", BRANCH)
    assert not log.has("validation", THREE)


def test_a_line_that_was_not_finished_goes(tmp_path: Path) -> None:
    write_steps(RunLog(tmp_path), BRANCH, 0, 3)
    path = tmp_path / "log.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"schema": 1, "event": "st')
    assert len(read_log(path)) == whole.count(b"\n")
    write_steps(RunLog(tmp_path), THREE, 0, 2)
    assert path.read_bytes().startswith(whole)
    assert figures(path)[-1] == ("validation", "three", 2)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no json", "line 2 is no record"),
        ("[1, 2]", "line 2 is no record"),
        ('{"schema": 1, "event": "step"}', "line 2 is no record"),
        ('{"schema": 1, "event": "step", "phase": "a", "step": "b"}', "line 2 is no record"),
        ('{"schema": 99, "event": "step", "phase": "a", "step": 1}', "a newer david"),
        ("\udcff", "cannot be read"),
    ],
)
def test_what_is_no_log_is_refused(line: str, words: str, tmp_path: Path) -> None:
    RunLog(tmp_path).phase(BRANCH, 0, 8)
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes() + line.encode(errors="surrogateescape") + b"\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match=words):
        RunLog(tmp_path)
    assert path.read_bytes() == before
