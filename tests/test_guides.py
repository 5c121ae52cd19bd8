"""The guides: every block runs, on small files of the names that they use."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from david_cli.cli.app import run
from david_cli.tuning import data, finetune
from tests.conftest import ROOT
from tests.shell import environment
from tests.test_readme import command_lines
from tests.tuning.footage import write_panning
from tests.video.clips import Clip, make_clip

DOCS = ROOT / "docs"
PAGES = [DOCS / "first-steps.md", DOCS / "doctor.md", *sorted((DOCS / "guides").glob("*.md"))]
PROCESSES = "clusters.md"
"""The page whose commands start others, each with a torch of its own."""

phone = Clip(audio="aac", rotation=90, metadata={"title": "at dusk"})
tape = Clip("mpeg2video", options={"flags": "+ildct+ilme"}, audio="mp2")
STAND_INS: dict[str, Callable[[Path], object]] = {
    "phone.mov": lambda path: make_clip(path, phone),
    "flight.mp4": lambda path: make_clip(path, Clip(times=range(80))),
    "card/100/flight1.mp4": lambda path: make_clip(path, Clip()),
    "card/100/flight2.mp4": lambda path: make_clip(path, Clip(audio="aac")),
    "tape.mpg": lambda path: make_clip(path, tape),
    "shot.mov": lambda path: make_clip(path, Clip(width=64, height=48, audio="aac")),
    "film.mkv": lambda path: make_clip(path, Clip(times=range(40))),
    "holiday.mp4": lambda path: make_clip(path, Clip()),
    "clips/slow.mkv": lambda path: write_panning(path, 330),
    "examples/phone_building.mp4": lambda path: make_clip(path, Clip(audio="aac")),
}


@pytest.fixture
def here(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A current folder with the stand-ins, and fine-tuning that takes moments."""
    made = tmp_path_factory.getbasetemp() / "stand-ins"
    for name, make in STAND_INS.items():
        if not (made / name).exists():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            make(made / name)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    shutil.copytree(ROOT / "examples/pairs/phone_building/sharp", tmp_path / "scans")
    for extra in sorted((tmp_path / "scans").iterdir())[2:]:
        extra.unlink()
    monkeypatch.chdir(tmp_path)
    small = replace(finetune.SAMPLES, size=32, crops=1, levels=(3, 7))
    quick = replace(finetune.SCHEDULE, batch=2, crop=16, log_every=1)
    defaults = finetune.FinetuneSettings.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "samples", small)
    monkeypatch.setitem(defaults, "training", quick)
    monkeypatch.setattr(finetune, "MOST_VISITS", 2)
    monkeypatch.setattr(data, "MOST_SAMPLES", 8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def _named(page: Path) -> object:
    slow = pytest.mark.slow if page.name == PROCESSES else ()
    return pytest.param(page, id=str(page.relative_to(DOCS)), marks=slow)


@pytest.mark.parametrize("page", [_named(page) for page in PAGES])
def test_the_commands_of_a_guide_run(
    page: Path,
    here: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lines = command_lines(page)
    assert lines
    if any("ffmpeg" in line for line in lines) and shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    shell = environment(tmp_path_factory.mktemp("bin"))
    for line in lines:
        line = re.sub(r"--minutes \d+", "--minutes 0.05", line)
        if line.startswith("david ") and "|" not in line:
            code = run(shlex.split(line, comments=True)[1:])
        else:
            command = ["bash", "-o", "pipefail", "-c", line]
            code = subprocess.run(command, env=shell, check=False).returncode
        assert code == 0, (line, capfd.readouterr().err)
        for target in re.findall(r" -o (\S{2,})", line):
            assert (here / target).exists(), line


def test_every_guide_can_be_found() -> None:
    first = (DOCS / "first-steps.md").read_text()
    assert [p.name for p in PAGES[2:] if f"guides/{p.name}" not in first] == []
