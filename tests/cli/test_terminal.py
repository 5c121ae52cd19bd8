"""What terminals show: kept as text, readable without colour, and in colours for any theme."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from david_cli.cli import app as cli
from david_cli.cli.batch_view import LiveBatch
from david_cli.cli.colors import COLORS
from david_cli.cli.progress import BarView, View, stderr_console
from tests.cli import screens

UNREADABLE = {"32", "33", "36", "37", "92", "93", "96", "97"}
"""SGR codes of green, yellow, cyan and white, dark and bright: lost on a white terminal."""


def test_the_screens_are_current() -> None:
    now = dict(screens.screens())
    kept = {path.stem: path.read_text(encoding="utf-8") for path in screens.FOLDER.glob("*.txt")}
    changed = [name for name in now.keys() | kept.keys() if now.get(name) != kept.get(name)]
    assert changed == [], "look at what changed, and run python -m tests.reference"


def test_nothing_is_wider_than_its_terminal() -> None:
    for name, text in screens.screens():
        width = int(name.rpartition("-")[2])
        assert max(map(len, text.splitlines())) <= width, name


def sgr_codes(text: str) -> set[str]:
    return {code for found in re.findall(r"\x1b\[([\d;]*)m", text) for code in found.split(";")}


@pytest.mark.parametrize(
    "command", ["", "config", *(name for group in cli.COMMANDS.values() for name in group)]
)
def test_pages_are_readable_on_any_theme(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer import rich_utils

    monkeypatch.setattr(rich_utils, "FORCE_TERMINAL", True)
    assert cli.run([*command.split(), "--help"]) == 0
    codes = sgr_codes(capsys.readouterr().out)
    assert "1" in codes
    assert codes & UNREADABLE == set()


def test_messages_and_bars_are_readable_on_any_theme(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    View().warn("sound was lost")
    bar = BarView("a.mp4")
    bar.update(screens.HALF)
    bar.console.print(bar.renderable())
    bar.console.print(LiveBatch().renderable())
    codes = sgr_codes(capsys.readouterr().err)
    assert {"35", "90"} <= codes
    assert codes & {*UNREADABLE, "38", "48"} == set()  # nor any colour of our own
    monkeypatch.setenv("NO_COLOR", "1")
    View().warn("sound was lost")
    assert sgr_codes(capsys.readouterr().err) & {"31", "35", "90"} == set()


def test_the_palette_is_the_terminals_own() -> None:
    console: Console = stderr_console()
    for name in COLORS:
        color = console.get_style(name).color
        assert color is None or (color.number is not None and color.number < 16)
