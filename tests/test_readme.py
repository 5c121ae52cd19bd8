"""What the documentation says is so: its commands, its Python, its links and its numbers."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from david_cli import errors
from david_cli.cli.app import app, run
from david_cli.cli.options import EXIT_CODES
from david_cli.network.build import count_gmacs, count_parameters
from david_cli.network.david import DAVID, DAVID_LITE, PAPER_LAYOUT
from tests.conftest import ROOT
from tests.shell import environment
from tests.video.clips import Clip, make_clip

README = ROOT / "README.md"
PAGES = [README, *(ROOT / n for n in ("CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"))]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
LONGEST = 200
"""Lines that the README may have, less one."""

_BLOCK = re.compile(
    r"(?:<!-- command:(?P<mark>\w+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.S
)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")
_NAMED = re.compile(r"`((?:david_cli|docs|examples|tests|weights|\.ci)/[\w./-]+)`")


def blocks(page: Path, language: str) -> list[tuple[str | None, str]]:
    """The fenced blocks of a language, each with its mark for CI if it has one."""
    found = _BLOCK.finditer(page.read_text())
    return [(m["mark"], m["text"]) for m in found if m["language"] == language]


def command_lines(page: Path) -> list[str]:
    """Every line of the page's shell blocks, but for those marked for CI."""
    texts = [text for mark, text in blocks(page, "bash") if mark is None]
    return [line for text in texts for line in text.splitlines() if line]


def marked(name: str) -> str:
    (text,) = (text for mark, text in blocks(README, "bash") if mark == name)
    return text.strip()


@pytest.fixture
def holiday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with small files of the names that the README uses."""
    make_clip(tmp_path / "holiday.mp4", Clip(audio="aac"))
    two_minutes = Clip(times=range(110), time_base=Fraction(1))
    make_clip(tmp_path / "film.mkv", two_minutes)
    for folder in ("scans", "clips", "examples/pairs/one/blur03", "examples/pairs/one/sharp"):
        (tmp_path / folder).mkdir(parents=True)
    make_clip(tmp_path / "clips/a b.mp4", Clip())
    make_clip(tmp_path / "examples/phone_building.mp4", Clip())
    for folder in (tmp_path / "scans", *(tmp_path / "examples/pairs/one").iterdir()):
        for n, picture in enumerate(_pictures(4)):
            Image.fromarray(picture).save(folder / f"{n:04d}.png")
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def _pictures(count: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(count)]


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < LONGEST


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_exist(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / target for target in _LINK.findall(text)]
    named = [ROOT / name for name in _NAMED.findall(text)]
    assert [str(path) for path in (*linked, *named) if not path.exists()] == []


def test_the_commands_of_the_readme_run(
    holiday: Path, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = command_lines(README)
    assert len(lines) >= 6
    shell = environment(tmp_path_factory.mktemp("bin"))
    for line in lines:
        if line.startswith("david "):
            assert run(shlex.split(line, comments=True)[1:]) == 0, (line, capfd.readouterr().err)
        else:
            subprocess.run(["bash", "-c", line], env=shell, check=True)
    written = {path.name for path in holiday.rglob("*") if path.is_file()}
    assert written >= {"holiday.sharp.mp4", "sharp.mp4", "part.mkv", "a b.sharp.mp4"}
    assert len(list((holiday / "scans.sharp").iterdir())) == 4
    assert "gain in dB" in capfd.readouterr().out


def test_the_python_of_the_readme_runs(holiday: Path) -> None:
    pictures, shown = _pictures(4), []
    ((_, code),) = blocks(README, "python")
    exec(compile(code, "README.md", "exec"), {"pictures": pictures, "show": shown.append})
    assert (holiday / "sharp.mp4").is_file()
    assert [(p.shape, p.dtype) for p in shown] == [(p.shape, p.dtype) for p in pictures]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_is_understood(page: Path) -> None:
    """Commands too slow to run here: their names and options are those that exist."""
    group = typer.main.get_command(app)
    for line in command_lines(page):
        if line.startswith("david "):
            told = re.sub(r"\$\w+", "1", line).partition(" | ")[0]  # the shell's part of it
            _, name, *arguments = shlex.split(told, comments=True)
            group.commands[name].make_context(name, arguments)  # raises on what it does not know


def test_the_first_command_installs_and_deblurs_the_example() -> None:
    install, _, deblur = marked("first").partition(" && ")
    assert install == "pip install ."
    assert deblur.startswith("david deblur examples/phone_building.mp4 -o ")
    assert (ROOT / "examples/phone_building.mp4").is_file()


def test_ci_runs_both_commands_of_the_readme(tmp_path: Path) -> None:
    """CI reads them with a few lines of awk: they see what this module sees."""
    script = (ROOT / ".ci/run").read_text()
    assert "run_readme_command first " in script
    assert "run_readme_command test " in script
    function = script[script.index("readme_command() {") : script.index("# Run a README block")]
    for name in ("first", "test"):
        command = ["bash", "-euo", "pipefail", "-c", f"{function}\nreadme_command {name}"]
        read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert read.stdout.strip() == marked(name)
    command[-1] = f"{function}\nreadme_command other"
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 1


def test_the_exit_codes_are_those_of_the_help() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", README.read_text(), re.M))
    children = errors.DavidError.__subclasses__()
    assert {int(code) for code in rows} >= {c.exit_code for c in (errors.DavidError, *children)}
    for code, meaning in re.findall(r"^ +(\d+) +(.*)$", EXIT_CODES, re.M):
        assert rows[code].startswith(meaning)


def test_the_tables_of_measurements_are_marked() -> None:
    parts = re.findall(r"<!-- (table:\w+|/table) -->", README.read_text())
    assert parts == ["table:quality", "/table", "table:speed", "/table"]


def test_the_costs_of_the_configurations_are_those_of_the_code() -> None:
    rows = re.findall(
        r"^\| (.*?) \| \d \| [\d, ]+ \| ([\d.]+) \| ([\d.]+) \|$",
        (ROOT / "docs/network.md").read_text(),
        re.M,
    )
    configurations = (
        DAVID_LITE,
        replace(DAVID, modules=1),
        replace(DAVID, branches=(7,)),
        DAVID,
        PAPER_LAYOUT,
    )
    assert len(rows) == len(configurations)
    for (_, parameters, gmacs), config in zip(rows, configurations, strict=True):
        assert float(parameters) == round(count_parameters(config) / 1e6, 2)
        assert float(gmacs) == round(count_gmacs(config), 2)
