"""Frames explained: a network's result with its attention, and what it would be without.

    window (T, 3, H, W) -> tiles -> network, its branches watched -> result and maps, blended

Two more results come with each: those of uniform ("even") external maps and of even internal maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.errors import InputError, ModelError
from david_cli.images import image_to_rgb, list_frames, read_image
from david_cli.inference.deblurrer import DEFAULT_OVERLAP, Deblurrer
from david_cli.inference.device import resolve_device, resolve_precision
from david_cli.inference.window import sliding_windows
from david_cli.network.david import MODULE_LEVELS, David, DavidConfig, Explained
from david_cli.network.weights import load_david
from david_cli.scenes import is_scene_cut
from david_cli.video.color import planes_to_rgb, to_tensors
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader, read_info

FOLDER_RATE = 25
"""Frames per second of a folder of pictures, which has no times."""


@dataclass(frozen=True)
class Explanation:
    """One frame's result and how it came about; pictures (3, H, W), not clipped, on the CPU."""

    result: Tensor
    external: Tensor | None
    """(modules, H, W) weights; None where there is one module."""
    internal: tuple[Tensor, ...]
    """Per module: (branches, H, W) weights; empty where modules have one branch."""
    even_external: Tensor
    """The result if every module weighed the same everywhere."""
    even_internal: Tensor
    """The result if, in every module, every branch weighed the same everywhere."""


@dataclass(frozen=True)
class Shot:
    """One frame of a source."""

    number: int
    """From 1."""
    rgb: Tensor
    """(3, H, W), nominally in [0, 1]."""
    pts: int
    duration: int
    time_base: Fraction
    turns: int = 0
    """Quarter turns counter-clockwise that a player would show it by."""


def module_names(config: DavidConfig) -> tuple[str, ...]:
    """What to call the modules: by blur level where there are three, as in the paper."""
    if config.modules == len(MODULE_LEVELS):
        return tuple(f"module {level}" for level in MODULE_LEVELS)
    return tuple(f"module {i + 1} of {config.modules}" for i in range(config.modules))


def branch_names(config: DavidConfig) -> tuple[str, ...]:
    """What to call the branches of a module: by the frames that they see."""
    return tuple(f"{n} frame" if n == 1 else f"{n} frames" for n in config.branches)


def dissect(network: David, window: Tensor) -> tuple[Explained, Tensor]:
    """``network.explain(window)``, and what every branch made of the window on the way.

    Args:
        network: stays as it is.
        window: (B, T, 3, H, W) RGB in [0, 1].

    Returns:
        The result with its maps, and the restorations D_n,i as (B, modules, branches, 3, H, W).
    """
    made: list[Tensor] = []

    def keep(_branch: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made.append(F.pixel_shuffle(output, network.config.unshuffle))

    hooks = [b.register_forward_hook(keep) for m in network.levels() for b in m.restorers()]
    try:
        explained = network.explain(window)
    finally:
        for hook in hooks:
            hook.remove()
    B, _, _, H, W = window.shape
    restored = torch.stack(made, 1)[..., :H, :W]
    return explained, restored.reshape(B, network.config.modules, -1, 3, H, W)


def even_results(explained: Explained, restored: Tensor) -> tuple[Tensor, Tensor]:
    """What Eq. 2 and Eq. 1 give when their maps are replaced by uniform ones.

    Args:
        explained: of a window, with maps (B, n, H, W).
        restored: (B, modules, branches, 3, H, W), as `dissect` gives them beside it.

    Returns:
        The result under even external maps and under even internal maps, (B, 3, H, W) each.
    """
    alone = torch.ones_like(restored[:, 0, 0, :1])  # (B, 1, H, W): the map of the only one
    external = alone if explained.external is None else explained.external
    internal = torch.stack([alone if maps is None else maps for maps in explained.internal], 1)
    modules = (internal[:, :, :, None] * restored).sum(2)  # I_n, (B, modules, 3, H, W)
    even_internal = (external[:, :, None] * restored.mean(2)).sum(1)
    return modules.mean(1), even_internal


class _Parts(nn.Module):
    """A network that answers with all its parts, on channels.

    A Deblurrer then tiles, blends, and retries when memory runs out as for the picture itself.
    """

    def __init__(self, network: David) -> None:
        super().__init__()
        self.network, self.config = network, network.config
        self.total_stride = network.total_stride
        c = network.config
        weights = (c.modules if c.modules > 1 else 0, *c.modules * [len(c.branches)])
        self.sizes = (3, 3, 3, *(weights if len(c.branches) > 1 else weights[:1]))

    def forward(self, windows: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, sum(sizes), H, W): three pictures, then the maps."""
        explained, restored = dissect(self.network, windows)
        maps = [m for m in (explained.external, *explained.internal) if m is not None]
        return torch.cat([explained.output, *even_results(explained, restored), *maps], 1)


class Explainer:
    """A network with attention, ready to explain frames of any size.

    Args:
        network: one with several modules or several branches.
        device: where to compute.
        precision: of the arithmetic inside the network.
        tile: as a Deblurrer takes it, and cut and blended by one.
        overlap: pixels that neighbouring tiles share.
        name: what to call the network in reports.
    """

    def __init__(
        self,
        network: David,
        *,
        device: torch.device,
        precision: str = "fp32",
        tile: int | None = None,
        overlap: int = DEFAULT_OVERLAP,
        name: str = "custom",
    ) -> None:
        self.config = network.config
        self._parts = _Parts(network)
        self.deblurrer = Deblurrer(
            self._parts,
            device=device,
            precision=resolve_precision(precision, device),
            tile=tile,
            overlap=overlap,
            guard=False,  # to be seen is what the network did
            name=name,
        )

    def __call__(self, window: Tensor) -> Explanation:
        """Explain the centre of a window (T, 3, H, W), RGB in [0, 1]."""
        channels = self.deblurrer(window[None])[0].cpu()
        parts = torch.split(channels, list(self._parts.sizes))
        result, external, internal, weights, *maps = parts
        return Explanation(
            result, weights if len(weights) else None, tuple(maps), external, internal
        )


def load_explainer(
    model: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: int | None = None,
    overlap: int = DEFAULT_OVERLAP,
) -> Explainer:
    """Load a model whose attention is to be seen.

    Args:
        model: a shipped name or a weights file.
        device: as `load_deblurrer` takes it.
        precision: as `load_deblurrer` takes it.
        tile: largest tile edge in pixels, 0 for whole frames, None for what memory holds.
        overlap: pixels that neighbouring tiles share.

    Raises:
        UsageError: an impossible device name, precision, tile or overlap.
        DeviceError: the device is not there.
        ModelError: the model is unknown, damaged, or has no attention.
    """
    place = resolve_device(device)
    network = load_david(model)
    if network.config.modules == 1 and len(network.config.branches) == 1:
        raise ModelError(
            f"{model} has no attention, one branch does all: choose a model that has it, "
            "such as --model david"
        )
    return Explainer(
        network,
        device=place,
        precision=precision,
        tile=tile,
        overlap=overlap,
        name=Path(model).stem,
    )


def explain_source(
    source: Path, explainer: Explainer, first: int = 1, last: int | None = None
) -> Iterator[tuple[Shot, Explanation]]:
    """Explain frames ``first`` to ``last`` (from 1, both included) of a video or a folder.

    Windows are those that `david deblur` uses: they end at scene cuts.

    Raises:
        InputError: nothing readable there, or it ends before ``first``.
    """
    radius = explainer.config.frames // 2
    near = takewhile(
        lambda shot: last is None or shot.number <= last + radius,
        _shots(source, first - radius),
    )
    number = 0
    for window in sliding_windows(near, radius=radius, is_cut=_cut_between):
        number = window[radius].number
        if first <= number and (last is None or number <= last):
            yield window[radius], explainer(torch.stack([shot.rgb for shot in window]))
    if number < first:
        raise InputError(f"{source} ends before its frame {first}: choose an earlier one")


def frame_at(source: Path, time: Fraction) -> int:
    """Number, from 1, of the frame that a video shows ``time`` seconds after its start.

    Raises:
        InputError: no video, or it is over by then.
    """
    with VideoReader(source) as reader:
        start = reader.info.start or Fraction(0)
        frames = (item for item in reader.items() if isinstance(item, Frame))
        number, end = 0, Fraction(0)
        for frame in frames:
            begin = frame.pts * frame.time_base - start
            if begin > time:
                return number
            number, end = number + 1, begin + (frame.duration or 1) * frame.time_base
    if time >= end:
        raise InputError(f"{source} is over after {float(end):g} s: choose an earlier frame")
    return number


def count_frames(source: Path) -> int | None:
    """How many frames a video claims to have, or a folder has; None where nothing says so.

    Raises:
        InputError: nothing readable there.
    """
    return len(list_frames(source)[0]) if source.is_dir() else read_info(source).frame_count


def _shots(source: Path, first: int) -> Iterator[Shot]:
    """The frames of a video or a folder from number ``first`` on."""
    if not source.is_dir():
        yield from _video_shots(source, first)
        return
    files, _ = list_frames(source)
    if not files:
        raise InputError(f"{source} holds no frames (PNG, JPEG, TIFF, WebP or BMP files)")
    for number, path in enumerate(files, 1):
        if number >= first:
            rgb = torch.from_numpy(image_to_rgb(read_image(path)))
            yield Shot(number, rgb, number, 1, Fraction(1, FOLDER_RATE))


def _video_shots(source: Path, first: int) -> Iterator[Shot]:
    with VideoReader(source) as reader:
        turns = round(reader.info.rotation / 90) % 4
        frames = (item for item in reader.items() if isinstance(item, Frame))
        for number, frame in enumerate(frames, 1):
            if number >= first:
                rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
                yield Shot(number, rgb, frame.pts, frame.duration, frame.time_base, turns)


def _cut_between(a: Shot, b: Shot) -> bool:
    return is_scene_cut(a.rgb, b.rgb)
