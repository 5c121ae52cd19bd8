"""Processes that work, and one that is killed while it does."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from david_cli.cli.app import run
from david_cli.errors import ModelError
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.pipeline import deblur_video
from david_cli.jobs.batch import Batch, Wishes
from david_cli.jobs.clips import find_clips
from david_cli.jobs.folder import state_folder
from david_cli.jobs.processes import LocalCrew
from david_cli.jobs.records import FOLDER
from david_cli.jobs.scheduler import Outcome, Scheduler
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Died, Message, SegmentTask, Step, Task
from david_cli.video.streams import EncodeOptions
from tests.jobs.runs import same_pictures
from tests.video.clips import Clip, make_clip

EXACT = EncodeOptions(codec="ffv1")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "long.mkv", Clip(width=64, height=48, times=range(60), audio="aac"))
    make_clip(folder / "short.mkv", Clip(width=64, height=48, times=range(6)))
    return folder


def process_of(crew: LocalCrew, worker: str) -> psutil.Process:
    pid = crew._workers[worker].process.pid
    assert pid is not None
    return psutil.Process(pid)


def batch(
    inputs: Path, out: Path, model: Path, devices: int, segment: int, kill: Iterator[bool]
) -> tuple[list[Outcome], list[str], list[str]]:
    """Run a batch; a worker is killed at the first frame of a task where ``kill`` says so.

    Returns:
        Outcomes, reasons of deaths, and who worked on segments.
    """
    settings = Settings(model=str(model), encode=EXACT)
    work = Batch(Wishes(out=out, settings=settings, segment=segment))
    deaths: list[str] = []
    hands: list[str] = []
    crew = LocalCrew(["cpu"] * devices, settings)

    fresh: set[str] = set()

    def given(worker: str, task: Task) -> None:
        hands.extend([worker] * isinstance(task, SegmentTask))
        fresh.add(worker)

    def message(worker: str, said: Message) -> None:
        if isinstance(said, Died):
            deaths.append(said.reason)
        if isinstance(said, Step) and worker in fresh:  # it is in the middle of its task
            fresh.remove(worker)
            if next(kill, False):
                process_of(crew, worker).send_signal(signal.SIGKILL)

    with work.alone(), Scheduler(crew, 0, given, message, work.outcomes.append) as scheduler, crew:
        scheduler.add(work.take(find_clips([inputs], out))[0])
        scheduler.run()
    assert not multiprocessing.active_children()
    return work.outcomes, deaths, hands


def test_a_killed_worker_costs_nothing_but_time(
    inputs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Two processes share the segments of a clip; who takes the third task dies in it."""
    straight, shared = tmp_path / "straight.mkv", tmp_path / "shared"
    deblur_video(inputs / "long.mkv", straight, load_deblurrer(tiny_model), encode=EXACT)
    kills = iter([False, False, True])
    outcomes, deaths, hands = batch(inputs, shared, tiny_model, 2, 8, kills)
    assert {(o.clip.name, o.state, o.frames) for o in outcomes} == {
        ("long.mkv", "done", 60),
        ("short.mkv", "done", 6),
    }
    assert deaths == ["by SIGKILL"]
    assert len(hands) >= 8  # 60 frames in segments of at most 8
    assert same_pictures(straight, shared / "long.sharp.mkv")
    assert {path.name for path in shared.iterdir()} == {
        FOLDER,
        "long.sharp.mkv",
        "short.sharp.mkv",
    }
    assert not list(shared.glob(f"{FOLDER}/lock"))


@pytest.mark.slow
def test_a_clip_that_kills_all_fails_and_leaves_nothing(
    inputs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (inputs / "short.mkv").unlink()
    out = tmp_path / "out"
    outcomes, deaths, _ = batch(inputs, out, tiny_model, 1, 0, iter([True] * 9))
    (outcome,) = outcomes
    assert (outcome.state, outcome.attempts) == ("failed", 3)
    assert "3 workers died of it, the last by SIGKILL" in str(outcome.error)
    assert len(deaths) == 3
    assert [path.name for path in out.iterdir()] == [FOLDER]
    assert not state_folder(out / "long.sharp.mkv").exists()


def test_a_model_that_is_not_there_ends_it_at_once(tmp_path: Path) -> None:
    settings = Settings(model=str(tmp_path / "no.safetensors"))
    with pytest.raises(ModelError, match=r"no\.safetensors"), LocalCrew(["cpu"], settings) as crew:
        while True:
            crew.wait(9)


@pytest.mark.slow
def test_one_video_on_two_processes(inputs: Path, tiny_model: Path, tmp_path: Path) -> None:
    straight, shared = tmp_path / "straight.mkv", tmp_path / "shared.mkv"
    command = ["deblur", str(inputs / "long.mkv"), "--model", str(tiny_model), "--codec", "ffv1"]
    assert run([*command, "-o", str(straight), "--segment", "0", "--device", "cpu"]) == 0
    assert run([*command, "-o", str(shared), "--segment", "8", "--devices", "cpu:2"]) == 0
    assert same_pictures(straight, shared)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "shared.mkv", "straight.mkv"]
