"""Two videos of the same frames compared, from end to end: in numbers, and as a video.

A, B, reference -> frames one for one -> numbers
                                      -> one picture of two -> encode; the sound is A's
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from david_cli.errors import OutputError
from david_cli.inference.pipeline import check_target
from david_cli.inference.stages import Clock
from david_cli.review.compose import Composer, Mode, Zoom
from david_cli.review.measure import Means, Meter, Point
from david_cli.review.pairing import Pairing, names_of, time_of
from david_cli.video.codecs import Hdr10
from david_cli.video.drawn import Redrawn, drawn_planes
from david_cli.video.frame import AS_STORED, Frame, VideoInfo
from david_cli.video.sample import take_sample
from david_cli.video.streams import plan_output
from david_cli.video.wishes import EncodeOptions
from david_cli.video.writer import VideoWriter

OnFrame = Callable[[int], None]
OnMessage = Callable[[str], None]


@dataclass(frozen=True)
class Film:
    """The video to write."""

    target: Path
    mode: Mode = "side"
    zoom: Zoom | None = None
    overwrite: bool = False
    """Whether a file may be replaced whose name the container chose instead of the target's."""


@dataclass(frozen=True)
class Comparison:
    """What a passage over all frames gave."""

    frames: int
    points: tuple[Point, ...]
    means: Means
    target: Path | None
    """The video written: of another suffix where the container could not hold it."""


def compare_all(
    videos: Sequence[Path],
    film: Film | None = None,
    *,
    every: bool = False,
    clock: Clock | None = None,
    on_frame: OnFrame = lambda done: None,
    on_message: OnMessage = lambda line: None,
) -> Comparison:
    """Go through all frames of two videos.

    Args:
        videos: A, B, and a reference if there is one.
        film: what to write, if anything; it appears under its name only when complete.
        every: measure the sharpness of every frame; with a reference it is anyway.
        clock: counts the busy seconds of ``decode``, ``measure`` and ``encode``.
        on_frame: told the number of frames done, after each.
        on_message: told everything worth knowing that is no error.

    Raises:
        InputError: a video cannot be read, or they do not have the same frames.
        UsageError: a zoom out of the picture, or a reference of another stored size.
        OutputError: the video cannot be written.
    """
    clock = clock or Clock()
    with Pairing(*videos) as pairing, ExitStack() as stack:
        infos = [reader.info for reader in pairing.readers]
        writer = stack.enter_context(_writing(film, infos, on_message)) if film else None
        meter = Meter(infos[0].frame_count, every=every)
        copy = writer.copy if writer else (lambda packet: None)
        number = 0
        for number, frames in enumerate(clock.timed("decode", pairing.frames(copy)), 1):
            time = time_of(frames[0], infos[0])
            with clock.busy("measure"):
                meter.measure(number, time, frames, infos)
            if writer:
                with clock.busy("encode"):
                    writer.write(frames, infos, time)
            on_frame(number)
        for reader in pairing.readers:
            if reader.stopped:
                on_message(f"{reader.name}: decoding stopped at {reader.stopped}")
        with clock.busy("encode"):
            target = writer.finish() if writer else None
    return Comparison(number, tuple(meter.points), meter.means(), target)


class _FilmWriter:
    """Composes pictures and writes them with the sound of A."""

    def __init__(self, film: Film, writer: VideoWriter, composer: Composer) -> None:
        self._film, self._writer, self._composer = film, writer, composer
        self.copy = writer.mux

    def write(self, frames: Sequence[Frame], infos: Sequence[VideoInfo], time: Fraction) -> None:
        picture = self._composer.picture(frames[:2], infos[:2], time)
        format, color = self._composer.format, self._composer.color
        planes = drawn_planes(picture, format, color)
        self._writer.write(replace(frames[0], planes=planes, format=format, color=color))

    def finish(self) -> Path:
        self._writer.finish()
        return self._writer.target


@contextmanager
def _writing(
    film: Film, infos: Sequence[VideoInfo], on_message: OnMessage
) -> Iterator[_FilmWriter]:
    """A writer that leaves nothing behind unless it is finished."""
    info = infos[0]
    names = names_of(*(info.path for info in infos[:2]))
    composer = Composer(info, names, film.mode, film.zoom)
    changes = {
        "width": composer.size[0],
        "height": composer.size[1],
        "format": composer.format,
        "source_format": composer.format.name,
        "color": composer.color,
        "sample_aspect_ratio": None,
        "rotation": 0,
        "turn": AS_STORED,
        "interlaced": False,
        "fields": None,
    }
    with Redrawn(info.path, **changes) as source:
        sample = replace(take_sample(source), matrix=None, hdr=Hdr10(), unkept=())
        plan = plan_output(source, film.target, EncodeOptions(), sample)
        if plan.target != film.target:
            _check_other_name(plan.target, film, infos)
        for line in (*plan.notes, *plan.losses):
            on_message(line)
        writer = VideoWriter(plan, source)
        try:
            yield _FilmWriter(film, writer, composer)
        except BaseException:
            writer.abort()
            raise
        for line in writer.warnings:
            on_message(line)


def _check_other_name(target: Path, film: Film, infos: Sequence[VideoInfo]) -> None:
    """Nobody has been asked about a name that follows from what the container can hold.

    Raises:
        OutputError: it is that of a video compared, or of another file that must not be replaced.
    """
    if target.exists() and any(target.samefile(info.path) for info in infos):
        raise OutputError(f"{target} is the input itself; choose another output with -o")
    check_target(target, film.overwrite)
