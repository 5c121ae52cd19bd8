"""What `david attention` draws, reported on the way: a picture of one frame, or a video of many."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from david_cli.cli.progress import View
from david_cli.cli.wording import Summary, deblurrer_facts, headline

if TYPE_CHECKING:
    from david_cli.evaluation.explain import Explainer
    from david_cli.evaluation.shots import Source
    from david_cli.inference.stages import Clock

PICTURE = ".png"
"""The suffix of a picture; any other is a video's."""


def draw(
    view: View,
    explainer: Explainer,
    source: Path,
    output: Path,
    frames: tuple[int, int | None],
    *,
    overwrite: bool,
) -> None:
    """Draw the attention of a video's or a folder's frames, the first to the last."""
    from david_cli.inference.stages import Clock

    with ExitStack() as stack:
        opened = _open(source, stack)
        run = Run(view, _total(opened, *frames), Clock())
        deblurrer = explainer.deblurrer
        facts = {"command": "attention", "source": str(source), "target": str(output)}
        view.start(headline(deblurrer), run.total, {**facts, **deblurrer_facts(deblurrer)})
        if output.suffix.lower() == PICTURE:
            _draw_picture(run, explainer, opened, output, frames[0], overwrite=overwrite)
        else:
            output = _draw_film(run, explainer, opened, output, frames, overwrite=overwrite)
    view.done(run.summary(source, output))


def _open(source: Path, stack: ExitStack) -> Source:
    """The frames of a folder, which need no video library, or of a video."""
    if source.is_dir():
        from david_cli.evaluation.shots import PictureFolder

        return PictureFolder(source)

    from david_cli.evaluation.film import VideoSource

    return stack.enter_context(VideoSource(source))


def _total(source: Source, first: int, last: int | None) -> int | None:
    """Frames to expect; None where nothing says so, or nothing true."""
    ends = [end for end in (last, source.count) if end is not None]
    total = min(ends) - first + 1 if ends else 0
    return total if total > 0 else None


def _draw_picture(
    run: Run, explainer: Explainer, source: Source, output: Path, number: int, *, overwrite: bool
) -> None:
    from david_cli.evaluation.figures import draw_picture

    draw_picture(source, output, explainer, number, overwrite=overwrite, clock=run.clock)
    run.on_frame(1)
    for line in (*source.warnings(), *explainer.deblurrer.events.lines()):
        run.on_message(line)


def _draw_film(
    run: Run,
    explainer: Explainer,
    source: Source,
    output: Path,
    frames: tuple[int, int | None],
    *,
    overwrite: bool,
) -> Path:
    from david_cli.evaluation.film import draw_film

    return draw_film(
        source,
        output,
        explainer,
        *frames,
        overwrite=overwrite,
        clock=run.clock,
        on_frame=run.on_frame,
        on_message=run.on_message,
    )


class Run:
    """How far a command is that has frames to go through, and all that was said on the way."""

    def __init__(self, view: View, total: int | None, clock: Clock) -> None:
        self.view, self.total, self.clock = view, total, clock
        self.done = 0
        self.warnings: list[str] = []
        self.started = time.monotonic()

    def on_frame(self, done: int) -> None:
        self.done = done
        self.view.update(self)

    def on_message(self, line: str) -> None:
        self.warnings.append(line)
        self.view.warn(line)

    @property
    def elapsed(self) -> float:
        return max(time.monotonic() - self.started, 1e-3)

    @property
    def fps(self) -> float:
        return self.done / self.elapsed

    @property
    def eta(self) -> float | None:
        return None if self.total is None else max(0, self.total - self.done) / self.fps

    @property
    def bottleneck(self) -> str:
        return self.clock.bottleneck

    @property
    def stage_seconds(self) -> dict[str, float]:
        return dict(self.clock.seconds)

    def summary(self, source: Path, written: Path) -> Summary:
        return Summary(
            str(written),
            self.done,
            self.elapsed,
            self.fps,
            self.bottleneck,
            self.stage_seconds,
            warnings=tuple(self.warnings),
            facts={"source": str(source)},
        )
