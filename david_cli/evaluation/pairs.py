"""Measured quality on paired clips: blurry and sharp pictures of the same moments.

Protocol: whole frames, whole folders as input (the edges of a clip included), the result rounded to
8 bits, RGB PSNR and SSIM per frame, all frames but ``margin`` at either end of a clip measured.

Two layouts are read, with frames of the same names on both sides:

    <clip>/{blurNN,sharp}/NNNN.<ext>     any number of blur levels NN
    <video>/{input,GT}/NNNNN.<ext>       DVD (Su et al. 2017): one level, which no name tells
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.images import image_to_rgb, list_frames, read_image, read_image_header
from david_cli.metrics import psnr, ssim
from david_cli.transfer import to_learned_range

SMALLEST = 11
"""Pixels per axis that a frame must have: SSIM's window."""
MARGIN = 3
"""Frames at either end of a clip that go in but are not measured: half a window."""
_LEVEL = re.compile(r"blur(\d+)")
_TRUTHS = ("sharp", "GT")
_DEPTHS = ("*", "*/*")  # where clips may lie below the folder that was named

Restore = Callable[[Iterable[Tensor]], Iterator[Tensor]]
"""Blurry frames (3, H, W) in [0, 1] in, as many restored frames out, in order."""


@dataclass(frozen=True)
class PairedClip:
    """One clip at one blur level."""

    name: str
    level: int | None
    """Frames that were averaged; None where the layout does not tell."""
    blurry: tuple[Path, ...]
    sharp: tuple[Path, ...]
    size: tuple[int, int]
    """Height and width of every frame."""

    @property
    def folder(self) -> Path:
        """What holds the folders of blurry and of sharp frames."""
        return self.sharp[0].parent.parent

    def measured(self, margin: int) -> range:
        """Indices of the frames that are measured: all but ``margin`` at either end, if any."""
        count = len(self.blurry)
        return range(margin, count - margin) if count > 2 * margin else range(count)


@dataclass(frozen=True)
class Measured:
    """Means over the measured frames of one clip."""

    psnr: float
    ssim: float
    seconds: float
    """Per frame, the whole method; reading and measuring are not in it."""
    frames: int
    """How many were measured."""


@dataclass(frozen=True)
class ClipScore:
    """A method's means over the measured frames of one clip at one level, beside the input's."""

    clip: str
    level: int | None
    input_psnr: float
    psnr: float
    input_ssim: float
    ssim: float
    seconds: float
    """Per frame, the whole method."""
    frames: int = 1
    """How many were measured."""

    @classmethod
    def of(cls, clip: PairedClip, before: Measured, after: Measured) -> ClipScore:
        """The score of a method from what was measured of the input and of its result."""
        return cls(
            clip.name,
            clip.level,
            before.psnr,
            after.psnr,
            before.ssim,
            after.ssim,
            after.seconds,
            after.frames,
        )

    @property
    def gain(self) -> float:
        """PSNR won over the blurry input, dB."""
        return self.psnr - self.input_psnr

    @property
    def light_blur_left_alone(self) -> bool:
        """The rule for light blur: at most 0.1 dB lost, or still above 42 dB."""
        return self.gain >= -0.1 or (self.input_psnr > 42 and self.psnr > 42)


def find_clips(
    roots: Path | Sequence[Path], levels: Sequence[int] | None = None
) -> list[PairedClip]:
    """Paired clips in and below folders, by folder, clip and level.

    A root is a clip itself, or holds clips, or holds folders of clips (DVD's
    ``quantitative_datasets``). Clips of one name are told apart by the folders above them.

    Args:
        roots: one folder or several; what is found twice counts once.
        levels: only these blur levels; clips of unknown level stay.

    Raises:
        InputError: nothing there, blurry and sharp frames that do not match, frames of several
            sizes in one clip, a picture that is none.
    """
    clips: dict[Path, PairedClip] = {}
    roots = [roots] if isinstance(roots, Path) else roots
    for root in roots:
        for folder in _clip_folders(root):
            for blurry in _blurry_folders(folder):
                level = _level(blurry)
                if levels is None or level is None or level in levels:
                    clips.setdefault(blurry.resolve(), _pair(blurry, level))
    if not clips:
        wanted = " or ".join(map(str, levels or ()))
        raise InputError(f"no clip of level {wanted} is in {', '.join(map(str, roots))}")
    return _told_apart(list(clips.values()))


def measure(
    clip: PairedClip,
    restore: Restore,
    *,
    margin: int = MARGIN,
    on_result: Callable[[int, Tensor], None] | None = None,
) -> Measured:
    """Run a method over a clip, frame by frame, and measure what it gives.

    Args:
        clip: what goes in, and its truth.
        restore: the method.
        margin: unmeasured frames at either end; none where a clip has no others.
        on_result: told the index and the rounded result (3, H, W) of every frame.
    """
    count, measured = len(clip.blurry), clip.measured(margin)
    reading = _Timed(read_picture(path) for path in clip.blurry)
    restoring = _Timed(round_to_8_bits(frame) for frame in restore(reading))
    quality, done = [], 0
    for done, result in enumerate(restoring, 1):
        if done - 1 in measured:
            truth = read_picture(clip.sharp[done - 1])
            quality.append((psnr(result, truth), ssim(result, truth)))
        if on_result is not None:
            on_result(done - 1, result)
    if done != count:
        raise AssertionError(f"{count} frames in, {done} out")
    means = [sum(values) / len(measured) for values in zip(*quality, strict=True)]
    return Measured(
        means[0], means[1], (restoring.seconds - reading.seconds) / count, len(measured)
    )


def score_clip(clip: PairedClip, restore: Restore, *, margin: int = MARGIN) -> ClipScore:
    """Measure a method on a clip, beside the blurry input itself."""
    return ClipScore.of(
        clip, measure(clip, iter, margin=margin), measure(clip, restore, margin=margin)
    )


def gain_per_level(scores: Iterable[ClipScore]) -> dict[int | None, float]:
    """Mean gain in dB over the clips of each level, by level; an unknown level (None) last."""
    gains: dict[int | None, list[float]] = {}
    for score in scores:
        gains.setdefault(score.level, []).append(score.gain)
    return {level: sum(gains[level]) / len(gains[level]) for level in sorted(gains, key=by_level)}


def by_level(level: int | None) -> tuple[bool, int]:
    """Sort key of levels: lightest blur first, unknown last."""
    return level is None, level or 0


def read_picture(path: Path) -> Tensor:
    """A picture of any kind as the network sees it: RGB (3, H, W), float32, nominally in [0, 1].

    Raises:
        InputError: it cannot be read.
    """
    image = read_image(path)
    return to_learned_range(torch.from_numpy(image_to_rgb(image)), image.transfer)


def round_to_8_bits(frame: Tensor) -> Tensor:
    """What an 8-bit file would keep of (3, H, W), still in [0, 1]."""
    return (frame.float().cpu().clamp(0, 1) * 255).round() / 255


class _Timed(Iterator[Tensor]):
    """Passes frames on, and adds up how long they took to come."""

    def __init__(self, frames: Iterable[Tensor]):
        self.frames = iter(frames)
        self.seconds = 0.0

    def __next__(self) -> Tensor:
        started = time.perf_counter()
        try:
            return next(self.frames)
        finally:
            self.seconds += time.perf_counter() - started


def _clip_folders(root: Path) -> list[Path]:
    """The folders of clips nearest to ``root``: itself, those in it, else those in these."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    for candidates in ([root], *(sorted(root.glob(depth)) for depth in _DEPTHS)):
        sides = {p: (bool(_blurry_folders(p)), bool(_truth_folders(p))) for p in candidates}
        whole = [folder for folder, found in sides.items() if all(found)]
        # a lone `input` among pairs is a mistake; a folder of nothing else is DVD's qualitative set
        beside = {folder.parent for folder in whole}
        for folder, found in sides.items():
            if any(found) and not all(found) and folder.parent in beside:
                missing = (
                    "sharp frames (sharp or GT)" if found[0] else "blurry ones (blurNN, input)"
                )
                raise InputError(f"{folder} has no {missing}: add them, or move it away")
        if whole:
            return whole
    raise InputError(
        f"{root} holds no paired clips: expected <clip>/blurNN and <clip>/sharp, "
        "or <video>/input and <video>/GT"
    )


def _blurry_folders(clip: Path) -> list[Path]:
    inside = (p for p in clip.glob("*") if p.name == "input" or _LEVEL.fullmatch(p.name))
    return sorted((p for p in inside if p.is_dir()), key=lambda p: by_level(_level(p)))


def _truth_folders(clip: Path) -> list[Path]:
    return [clip / name for name in _TRUTHS if (clip / name).is_dir()]


def _level(blurry: Path) -> int | None:
    match = _LEVEL.fullmatch(blurry.name)
    return int(match[1]) if match else None


def _pair(folder: Path, level: int | None) -> PairedClip:
    """Pair the frames of a blurry folder with those of the sharp one beside it, by name."""
    truth = folder.parent / ("GT" if level is None else "sharp")
    blurry, sharp = list_frames(folder)[0], list_frames(truth)[0]
    if not blurry and not sharp:
        raise InputError(f"{folder} and {truth} hold no pictures")
    if [p.stem for p in blurry] != [p.stem for p in sharp]:
        alone = {p.stem: p for p in (*blurry, *sharp)}
        names = {p.stem for p in blurry} ^ {p.stem for p in sharp}
        example = min(names, default=None)
        raise InputError(
            f"{folder} ({len(blurry)}) and {truth} ({len(sharp)}) do not hold the same frames: "
            + (f"{alone[example]} has no partner" if example else "a name is there twice")
        )
    size = _common_size([*blurry, *sharp])
    return PairedClip(_name(folder.parent), level, tuple(blurry), tuple(sharp), size)


def _common_size(pictures: Sequence[Path]) -> tuple[int, int]:
    """Height and width that all pictures share, from their headers."""
    sizes = {path: _size(path) for path in pictures}
    first = sizes[pictures[0]]
    if min(first) < SMALLEST:
        raise InputError(f"{pictures[0]} is too small: SSIM needs {SMALLEST}x{SMALLEST} pixels")
    for path, size in sizes.items():
        if size != first:
            raise InputError(
                f"{path} is {size[1]}x{size[0]}, but {pictures[0]} is {first[1]}x{first[0]}: "
                "all frames of a clip must have one size"
            )
    return first


def _size(path: Path) -> tuple[int, int]:
    header = read_image_header(path)
    return header.height, header.width


def _name(folder: Path) -> str:
    """A folder's name; ``.`` and ``..`` have none of their own."""
    return (folder.resolve() if folder.name in ("", "..") else folder).name


def _told_apart(clips: list[PairedClip]) -> list[PairedClip]:
    """Name each clip's folder by as many of its last parts as make it the only one."""
    names = {clip.folder: clip.name for clip in clips}
    depth = 1
    while repeated := {name for name, n in Counter(names.values()).items() if n > 1}:
        depth += 1
        for folder, name in names.items():
            if name in repeated:
                names[folder] = "/".join(folder.resolve().parts[-depth:])
    return [replace(clip, name=names[clip.folder]) for clip in clips]
