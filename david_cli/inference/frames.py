"""A folder of frames in, a folder of sharp frames out: same names, same kind of files.

    list -> check headers -> decode -> RGB -> learned range -> 7-frame window (cut where the scene
         or size changes) -> network -> change in the source's transfer, added to each frame's own
         samples -> encode -> rename into place

Decoding and encoding run in threads beside the network, a few frames ahead and behind, so that
memory does not grow with the folder.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor

from david_cli.errors import OutputError, UsageError
from david_cli.images import (
    StillImage,
    find_frames,
    image_to_rgb,
    read_image,
    read_image_header,
    with_change,
    write_image,
)
from david_cli.inference.guard import GuardEvents
from david_cli.inference.repeats import Run, runs
from david_cli.inference.workers import map_ahead
from david_cli.scenes import is_scene_cut
from david_cli.transfer import change_in_source, to_learned_range

if TYPE_CHECKING:
    from david_cli.inference.deblurrer import Deblurrer

AHEAD = 4
"""Frames decoded before the network asks for them, and as many that wait to be written."""

Stage = Literal["decode", "network", "encode"]
T = TypeVar("T")
_Picture = tuple[Path, StillImage, Tensor]
"""A file, what is in it, and its RGB or the change of that: (3, H, W) on the CPU."""
_Inside = tuple[Run[tuple[Path, StillImage]], Tensor]
"""Files that show one picture, and what the network sees of it, once for all of them."""


@dataclass(frozen=True)
class FolderProgress:
    """How far a folder is; sent after every frame written."""

    done: int
    total: int
    fps: float
    elapsed: float
    """Seconds since the start."""
    eta: float
    """Seconds still to go at the speed so far."""
    bottleneck: Stage
    """The stage that the run has waited for longest."""
    stage_seconds: dict[Stage, float]
    """Seconds that the run has waited for each stage; together they are ``elapsed``."""


@dataclass(frozen=True)
class FolderReport:
    """What became of a folder."""

    source: Path
    target: Path
    frames: int
    seconds: float
    fps: float
    ignored: tuple[Path, ...]
    """Files and folders in ``source`` that are no frames."""
    losses: tuple[str, ...]
    """What the new files could not keep of the old, one line each with the frames it befell."""
    events: GuardEvents
    stage_seconds: dict[Stage, float]
    bottleneck: Stage
    model: str
    device: str
    precision: str
    tile: int
    """Side in pixels; 0 = whole frames."""
    engine: str
    """What computed the network: ``torch`` or ``openvino``."""


def deblur_frame_folder(
    source: Path,
    target: Path | None,
    deblurrer: Deblurrer,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    on_progress: Callable[[FolderProgress], None] | None = None,
) -> FolderReport:
    """Sharpen every frame of a folder, in natural order, into files of the same names.

    Args:
        source: Folder of files of the kinds in ``FRAME_KINDS``. Others are left alone.
        target: Folder to write to; ``<source>.sharp`` where None. Created when missing.
        deblurrer: The model, ready to run.
        strength: Share of the network's change that is added, 0 to 1; 0 keeps every pixel, and
            the network does not run.
        overwrite: Replace files of the same names in ``target``.
        on_progress: Called in this thread after each frame written.

    Raises:
        UsageError: The strength is not in 0..1.
        InputError: The folder is missing or has no frames, or a frame is damaged. All headers are
            checked before the first frame is written; where a picture then fails to decode, the
            frames finished by then stay.
        OutputError: The target holds files of these names, or cannot be written.
    """
    if not 0 <= strength <= 1:
        raise UsageError(f"strength {strength} is not between 0 and 1")
    frames, ignored = find_frames(source)
    target = default_target(source) if target is None else target
    for path in frames:
        read_image_header(path)
    _prepare_target(source, target, frames, overwrite=overwrite)
    deblurrer.events = GuardEvents()  # of this run alone
    clock = _StageClock()
    losses: dict[str, list[str]] = {}  # loss -> names of the frames it befell, in order
    with ThreadPoolExecutor(min(AHEAD, os.cpu_count() or 1)) as pool:

        def finish(picture: _Picture) -> tuple[str, tuple[str, ...]]:
            path, image, change = picture
            image = with_change(image, change.numpy(), strength)
            write_image(target / path.name, image)
            return path.name, image.losses if image.encoded is None else ()

        pictures = clock.follow("decode", map_ahead(pool, _read, frames, AHEAD))
        changes = _changes(pictures, deblurrer) if strength > 0 else _no_changes(pictures)
        changes = clock.follow("network", changes)
        written = clock.follow("encode", map_ahead(pool, finish, changes, AHEAD))
        for done, (name, lost) in enumerate(written, 1):
            for loss in lost:
                losses.setdefault(loss, []).append(name)
            if on_progress:
                on_progress(clock.progress(done, len(frames)))
    seconds = clock.elapsed
    return FolderReport(
        source,
        target,
        len(frames),
        seconds,
        len(frames) / seconds,
        tuple(ignored),
        _loss_lines(losses, len(frames)),
        deblurrer.events,
        dict(clock.seconds),
        clock.bottleneck,
        deblurrer.name,
        str(deblurrer.device),
        deblurrer.precision,
        deblurrer.tile or 0,
        deblurrer.engine,
    )


def default_target(source: Path) -> Path:
    """Where a folder's sharp frames go by default: ``<source>.sharp`` beside it."""
    folder = source.resolve()  # "." has no name of its own
    return (folder if source.name in ("", "..") else source).with_name(f"{folder.name}.sharp")


def _prepare_target(source: Path, target: Path, frames: list[Path], *, overwrite: bool) -> None:
    """Create the target folder, unless writing into it would harm something."""
    if target.resolve() == source.resolve() or (target.exists() and target.samefile(source)):
        raise OutputError(f"{target} is the input folder itself; choose another output folder")
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file; choose a folder for the frames")
    place = target.resolve()
    own = next((path.name for path in frames if path.resolve() == place / path.name), None)
    if own is not None:  # a link in the source folder
        raise OutputError(f"{target / own} is the input itself; choose another output folder")
    taken = [path.name for path in frames if (target / path.name).exists()]
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more of these frames" if len(taken) > 1 else ""
        raise OutputError(f"{target} already holds {taken[0]}{more}: add --yes to overwrite")
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {target} cannot be created: {error.strerror}") from error
    if not os.access(target, os.W_OK | os.X_OK):
        raise OutputError(f"folder {target} is not writable")


def _read(path: Path) -> _Picture:
    image = read_image(path)
    return path, image, torch.from_numpy(image_to_rgb(image))


def _changes(pictures: Iterable[_Picture], deblurrer: Deblurrer) -> Iterator[_Picture]:
    """Pair each picture with what the network changes in it, in order.

    Pictures that repeat the one before are one to the network, and get one change.

    Yields:
        RGB (3, H, W) on the CPU, in the picture's own transfer.
    """
    inside: deque[_Inside] = deque()  # those in the window and those in work

    def enter() -> Iterator[Tensor]:
        for run in runs(pictures, _is_repeat):
            _, image, rgb = run.items[0]
            seen = to_learned_range(rgb.to(deblurrer.device), image.transfer)
            files = tuple((path, image) for path, image, _ in run.items)
            inside.append((Run(files, run.goes_on), seen))
            yield seen

    change = torch.empty(0)
    for sharp in deblurrer.stream(enter(), is_cut=is_scene_cut):
        run, seen = inside.popleft()
        if not run.goes_on:
            change = change_in_source(sharp.float(), seen, run.items[0][1].transfer).cpu()
        deblurrer.events.repeated += len(run.items) - (not run.goes_on)
        yield from ((path, image, change) for path, image in run.items)
    assert not inside, "the window must give every frame back"


def _is_repeat(before: _Picture, picture: _Picture) -> bool:
    """Whether the network would see the same twice."""
    (_, image, rgb), (_, other, another) = before, picture
    return image.transfer == other.transfer and torch.equal(rgb, another)


def _no_changes(pictures: Iterable[_Picture]) -> Iterator[_Picture]:
    for path, image, rgb in pictures:
        yield path, image, torch.zeros_like(rgb)


class _StageClock:
    """Splits the run's time between nested stages: each is charged what its own items take.

    Several threads decode and encode, so their busy seconds would not tell which stage limits.
    """

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.seconds: dict[Stage, float] = {"decode": 0.0, "network": 0.0, "encode": 0.0}

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self._start

    @property
    def bottleneck(self) -> Stage:
        return max(self.seconds, key=lambda stage: self.seconds[stage])

    def follow(self, stage: Stage, items: Iterable[T]) -> Iterator[T]:
        """Pass items on, and charge the wait for them, less that of the stages within."""
        iterator = iter(items)
        while True:
            start = time.perf_counter() - sum(self.seconds.values())
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds[stage] += time.perf_counter() - sum(self.seconds.values()) - start
            yield item

    def progress(self, done: int, total: int) -> FolderProgress:
        elapsed = self.elapsed
        eta = elapsed / done * (total - done)
        stages = dict(self.seconds)
        return FolderProgress(done, total, done / elapsed, elapsed, eta, self.bottleneck, stages)


def _loss_lines(found: dict[str, list[str]], total: int) -> tuple[str, ...]:
    """One line for each loss, from {loss: names of the frames it befell}, most frequent first."""
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return tuple(_loss_line(loss, names, total) for loss, names in ordered)


def _loss_line(loss: str, names: list[str], total: int) -> str:
    if len(names) == 1:
        return f"{loss} ({names[0]})"
    return f"{loss} ({'all' if len(names) == total else len(names)} frames, from {names[0]})"
