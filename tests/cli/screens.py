"""What david shows on terminals of several widths, as text: tests/cli/screens/*.txt.

``python -m tests.reference`` writes them anew; whoever changes them looks at what changed.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from unittest import mock

from rich.console import Console, RenderableType

from david_cli.cli import batch_view, info, progress
from david_cli.cli.app import run
from david_cli.cli.colors import theme
from david_cli.cli.wording import Summary, final_line, plain_line
from david_cli.errors import InputError
from david_cli.inference.report import Progress
from david_cli.jobs.clips import Clip
from david_cli.jobs.scheduler import Outcome
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Order, Ready, SegmentTask, Step
from david_cli.video.glance import Glance

FOLDER = Path(__file__).parent / "screens"
PAGES = {"david": [], "config": ["config"], "join": ["join"]}
"""Commands whose pages are kept: few, as every other one is in docs/reference.md."""
HALF = Progress(
    done=300,
    total=600,
    fps=3.2,
    elapsed=94.0,
    eta=94.0,
    bottleneck="network",
    stage_seconds={"decode": 3.0},
)
FILM = "Visit to the harbour, second day.mov"


def screens() -> Iterator[tuple[str, str]]:
    """Name and text of each."""
    for width in (60, 100):
        for name, words in PAGES.items():
            with columns(width):
                yield f"help-{name}-{width}", _printed([*words, "--help"])
    for width in (60, 100, 160):
        yield f"progress-{width}", _progress(width)
        yield f"batch-{width}", _batch(width)
    yield "info-60", _stripped("\n".join(info.wrapped(row, 60) for row in ROWS))


def write() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in screens():
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def columns(width: int) -> Iterator[None]:
    """A terminal so wide."""
    with mock.patch.dict(os.environ, {"COLUMNS": str(width)}):
        yield


def _printed(arguments: list[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run(arguments) == 0
    return _stripped(out.getvalue())


def _stripped(text: str) -> str:
    """Without the spaces at the ends of lines, which nobody sees."""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def drawn(renderable: RenderableType, width: int) -> str:
    """What a terminal of that width shows."""
    console = Console(width=width, file=io.StringIO(), record=True, theme=theme())
    console.print(renderable)
    return _stripped(console.export_text())


def _progress(width: int) -> str:
    """The bar, the same as a plain line, and the end."""
    with columns(width):
        view = progress.BarView(FILM)
        view.update(HALF)
        bar = drawn(view.renderable(), width)
    summary = Summary("harbour.sharp.mov", 600, 187.0, 3.2, "network", {})
    lines = [plain_line(HALF), final_line(summary, 1)]
    return bar + "".join(drawn(progress.message_line("", line), width) for line in lines)


def _batch(width: int) -> str:
    """The panel while it works, and the table at the end."""
    with columns(width):
        view = batch_view.LiveBatch()
    view.tally.clock = lambda: 100.0
    orders = [_order("beach.mp4", 48), _order(FILM, None), _order("broken.mp4", 10)]
    view.begin(orders, [])
    for worker in ("cpu #1", "cpu #2", "cpu #3"):
        view.tally.message(worker, Ready("david-lite", "cpu", "fp32", 0))
    view.tally.given("cpu #1", orders[0])
    view.tally.message("cpu #1", Step(12, 48, 2.0))
    view.tally.given("cpu #2", SegmentTask(orders[1], Path("plan.json"), 3))
    view.tally.message("cpu #2", Step(7, 24, 1.0))
    ended = [
        Outcome(clip=orders[0].clip, state="done", frames=48, seconds=24.0, workers=("cpu #1",)),
        Outcome(clip=orders[1].clip, state="skipped"),
        Outcome(
            clip=orders[2].clip,
            state="failed",
            error=InputError("in/broken.mp4: is empty (0 bytes)"),
        ),
    ]
    table = batch_view.outcome_table(ended, width)
    with columns(width):
        panel = drawn(view.renderable(), width)
    return f"{panel}\n{drawn(table, width)}"


def _order(name: str, frames: int | None) -> Order:
    clip = Clip(Path(name), Path(), Glance(None, frames, 100))
    return Order(clip, Path("sharp"), Settings())


ROWS = [
    "harbour.mov",
    f"  {'video':<{info.KEY}}prores, 1920x1080, yuv422p10le, 25 fps",
    f"  {'length':<{info.KEY}}24.0 s, {round(24 * Fraction(25))} frames by the container's count",
    "",
    "would write harbour.sharp.mov",
    f"  {'kept':<{info.KEY}}audio #1, subtitle #2 (English, for the hard of hearing), 4 chapters",
    f"  {'lost':<{info.KEY}}data #3 (mebx): the container would forget its format",
]
