"""What a job is expected to take, and when it is not begun."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from david_cli.cli.app import run
from david_cli.errors import InputError, OutputError
from david_cli.inference.pace import peak_bytes, seconds_per_frame
from david_cli.jobs.folder import state_folder
from david_cli.jobs.plan import Job, load_plan
from david_cli.jobs.planning import check_room, estimate_job, plan_job, plan_long
from david_cli.jobs.resume import plan_apart, planned_output
from david_cli.video.streams import EncodeOptions
from tests.footage import KnownNetwork, known_deblurrer, write_video
from tests.jobs.runs import LOOK, dealt_out, deblurrer, scenes

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = write_video(tmp_path / "in.mkv", scenes((30,)), LOOK)
    return Job(source=source, target=tmp_path / "out.mkv", encode=EncodeOptions(codec="ffv1"))


class Sized(KnownNetwork):
    """Writes down how many pixels it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        self.seen.append(window.shape[-1] * window.shape[-2])
        return super().forward(window)


def test_pace_is_measured_on_little_and_told_of_all() -> None:
    network = Sized()
    worker = known_deblurrer(network, tile=0)
    small = seconds_per_frame(worker, 256, 256)
    large = seconds_per_frame(worker, 2560, 2560)
    assert set(network.seen) == {256 * 256}
    assert 0 < small < large


def test_a_trial_ends_when_it_shows_a_short_job() -> None:
    """A clip of seconds must not wait for a good measurement."""
    network = Sized()
    seconds_per_frame(known_deblurrer(network, tile=0), 256, 256, enough=1e6)
    assert len(network.seen) == 1


def test_overlapping_tiles_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from david_cli.inference import pace

    whole, tiled = known_deblurrer(tile=0), known_deblurrer(tile=64, overlap=32)
    assert pace._tiled_pixels(whole, 640, 480) == 640 * 480
    assert pace._tiled_pixels(tiled, 640, 480) > 2 * 640 * 480


def test_a_larger_tile_takes_more_memory() -> None:
    small, large = (known_deblurrer(tile=tile) for tile in (64, 512))
    assert peak_bytes(small, 1920, 1080) < peak_bytes(large, 1920, 1080)


def test_the_size_of_the_output_is_about_what_it_will_be(job: Job) -> None:
    expected = estimate_job(job, planned_output(job), deblurrer())
    plan, _ = dealt_out(job, 10)
    assert plan.estimate.disk == expected.disk
    assert 0.5 < expected.disk / plan.target.stat().st_size < 2  # it is coded before deblurring


def test_what_cannot_fit_is_not_begun(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_apart(job, planned_output(job), deblurrer(), segment=10)
    check_room(plan)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 1000))
    with pytest.raises(OutputError, match="are free, and about"):
        check_room(plan)
    other = replace(job, target=plan.target.with_name("other.mkv"))
    with pytest.raises(OutputError, match="are free, and about"):
        plan_apart(other, planned_output(other), deblurrer(), segment=10)
    assert not state_folder(plan.target.with_name("other.mkv")).exists()


def test_a_plan_survives_its_file(job: Job) -> None:
    worker = deblurrer()
    plan = plan_apart(job, planned_output(job), worker, segment=10)
    again = load_plan(plan.folder / "plan.json")
    assert again == plan
    assert again.frames_of(2) == range(20, 30)
    part = again.part(1, 3, exact=True)
    assert (part.first, part.stop, part.halo) == (plan.times[10], plan.times[20], 3)
    assert part.expected == plan.times[7:23]


def test_frames_that_go_whole_here_go_whole_everywhere(job: Job) -> None:
    """The plan's tile is all that another machine knows, and its memory is another one."""
    worker = known_deblurrer(KnownNetwork(), tile=None)
    plan = plan_apart(job, planned_output(job), worker, segment=10)
    assert worker.tile > 0 and plan.tile == 0


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": 99}'])
def test_what_is_no_plan_says_so(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"plan\.json"):
        load_plan(path)


def test_nothing_is_planned_at_strength_0(job: Job) -> None:
    """The network, which takes the time, does not run."""
    job = replace(job, strength=0.0)
    assert plan_long(job, planned_output(job), deblurrer()) is None
    assert plan_job(job, planned_output(job), deblurrer()).segments == 1


def test_a_dry_run_tells_and_writes_nothing(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(tiny_model), "--device", "cpu", "--dry-run"]
    command = ["deblur", str(clip), "-o", str(tmp_path / "out.mp4"), *options]
    assert run([*command, "--segment", "5"]) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    said = dict(row for row in rows if len(row) == 2)
    assert said["work"] == "12 frames in 3 segments of up to 4"
    assert said["kept"] == "audio stream 1 (aac)"
    assert {"time", "memory", "disk"} <= said.keys()
    assert run(command) == 0
    assert "in one piece" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert run(["deblur", "-", "-o", "out.mkv", *options]) == 2
