"""What a run says while it runs: lines, bar and JSON, through a clock that the test holds."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from david_cli.cli.progress import BarView, JsonView, PlainView, View, open_view
from david_cli.cli.wording import Summary, duration, final_line, listing, one_line, plain_line


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Step:
    """A Progress."""

    done: int
    total: int | None = 600
    fps: float = 3.2
    elapsed: float = 75.0
    eta: float | None = 112.0
    bottleneck: str = "network"
    stage_seconds: dict[str, float] = field(default_factory=lambda: {"decode": 1.0})


def summary(**changes: Any) -> Summary:
    values: dict[str, Any] = {
        "target": "b.mp4",
        "frames": 600,
        "seconds": 187.0,
        "fps": 3.2,
        "bottleneck": "network",
        "stage_seconds": {"decode": 3.14159, "network": 180.0},
    }
    return Summary(**{**values, **changes})


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_plain_view_speaks_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    view = PlainView(clock=clock)
    for tenth in range(1, 351):  # a frame every 0.1 s for 35 s
        clock.now = tenth / 10
        view.update(Step(tenth))
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[1] for line in err.splitlines()] == ["100/600", "200/600", "300/600"]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Step(240), "240/600 frames (40%), 3.20 fps, 1:52 left, limited by the network"),
        (Step(7, total=None, eta=None), "7 frames, 3.20 fps, limited by the network"),
        (Step(700, eta=None, bottleneck="encode"), "700 frames, 3.20 fps, limited by encoding"),
    ],
)
def test_plain_lines_say_only_what_is_known(step: Step, line: str) -> None:
    assert plain_line(step) == line


def test_json_events_are_one_object_a_line_at_most_twice_a_second() -> None:
    stream, clock = io.StringIO(), Clock()
    with JsonView(stream=stream, clock=clock) as view:
        view.start("unsaid", 600, {"command": "deblur"})
        for hundredth in range(300):  # 3 s
            clock.now = hundredth / 100
            view.update(Step(hundredth + 1))
        view.note("for people")
        view.warn("sound was lost")
        view.done(summary(warnings=("sound was lost", "late")))
    seen = events(stream.getvalue())
    assert all(event["schema"] == 1 for event in seen)
    assert [event["event"] for event in seen if event["event"] != "progress"] == [
        "start",
        "warning",
        "warning",
        "done",
    ]
    assert sum(event["event"] == "progress" for event in seen) == 6
    assert seen[0]["total"] == 600
    assert seen[-1]["frames"] == 600
    assert seen[-1]["stage_seconds"]["decode"] == 3.142
    assert seen[-1]["warnings"] == ["sound was lost", "late"]


def test_quiet_keeps_warnings_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with open_view("auto", "a.mp4", quiet=True, verbose=True) as view:
        view.start("david-lite on cpu", 600, {})
        view.update(Step(1))
        view.detail("kept: sound")
        view.done(summary(warnings=("decoding stopped",)))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "david: warning: decoding stopped\n")


def test_a_warning_is_said_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    view = View()
    view.warn("sound was lost")
    view.done(summary(warnings=("sound was lost",)))
    assert capsys.readouterr().err.splitlines() == [
        "david: warning: sound was lost",
        "david: wrote b.mp4: 600 frames in 3:07 (3.20 fps), limited by the network, 1 warning",
    ]


def test_verbose_adds_details(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        View(verbose=verbose).done(summary(details=("h264 by libx264",)))
        assert ("h264 by libx264" in capsys.readouterr().err) == verbose


def test_no_bar_off_a_terminal_even_with_forced_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for mode in ("auto", "bar"):
        assert isinstance(open_view(mode, "a", quiet=False, verbose=False), PlainView)  # type: ignore[arg-type]


def test_colour_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    View().warn("a")
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")
    View().warn("b")
    assert "\x1b[" not in capsys.readouterr().err


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_the_bar_fits_its_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    bar = BarView("a holiday film with a long [name].mp4")
    bar.update(Step(123456, total=234567, eta=45296.0))
    bar.console.print(bar.renderable())
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert len(lines[0]) <= columns
    assert "123456/234567" in lines[0]
    if columns >= 80:
        assert "3.20 fps" in lines[0]
        assert "12:34:56 left" in lines[0]
        assert "network" in lines[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (12.34, "12.3 s"), (59.96, "1:00"), (187, "3:07"), (3599.6, "1:00:00")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_stay_lines_whatever_a_file_is_called() -> None:
    assert one_line("a\nb") == "a b"
    assert one_line("\x1b[31mred\x07") == "\\x1b[31mred\\x07"
    assert one_line("caf\u00e9 \udcff") == "caf\u00e9 \\udcff"


def test_words_for_one_and_many() -> None:
    assert listing(["a", "b"]) == "a, b"
    assert listing("abcde") == "a, b, c and 2 more"
    assert "1 frame in" in final_line(summary(frames=1), 0)
    assert final_line(summary(), 2).endswith("2 warnings")
