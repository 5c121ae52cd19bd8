"""The network made fit for use: any frame size, any device, and never worse than the source.

    frame -> enter, once a frame -> window of what entered -> tiles -> engine -> blend -> guard
          -> the sharp centre frame

Where memory runs out, the tile is halved and the same frame done again; where a result fails the
guard, it is computed again in float32, else the source frame is delivered. No frame is ever lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from david_cli.errors import DeviceError, UsageError
from david_cli.inference.device import (
    DTYPES,
    EngineName,
    Precision,
    resolve_device,
    resolve_engine,
    resolve_precision,
)
from david_cli.inference.engine import Engine, Entered, Network, make_engine, torch_engine
from david_cli.inference.guard import GuardEvents, is_sound
from david_cli.inference.memory import (
    free_bytes,
    halved_tile,
    is_out_of_memory,
    release_cached,
    tile_for_memory,
)
from david_cli.inference.tiling import Area, run_tiles, tile_grid
from david_cli.inference.window import sliding_windows
from david_cli.inference.workers import Crew, at_work, crew_size, map_ahead
from david_cli.network.fast import is_fast
from david_cli.network.weights import load_network
from david_cli.scenes import is_scene_cut
from david_cli.sharpness import sharpness

__all__ = [
    "Deblurrer",
    "GuardEvents",
    "Network",
    "check_tile",
    "load_deblurrer",
    "prepare_deblurrer",
]

DEFAULT_OVERLAP = 112
"""Pixels shared by neighbouring tiles."""


class _Framed(NamedTuple):
    """A frame of a stream: as it came, on the device, and as it entered."""

    rgb: Tensor
    entered: Entered


class Deblurrer:
    """A network with its device, precision and tiling; call it on windows, or stream frames.

    Safe to call from several threads at once.

    Args:
        network: moved to ``device`` and set to evaluation.
        device: where to compute.
        precision: of the arithmetic inside the network; everything else is float32.
        tile: largest edge of a tile in pixels; 0 for whole frames, None for what the free memory
            holds.
        overlap: pixels that neighbouring tiles share.
        guard: whether to check every result against its source.
        name: what to call the network in reports.
        crew: how many frames to work on at once, and with how many threads each; what the device
            and its memory suggest where None.
        sharp_above: sharpness from which on `spares` says that a frame needs no network; None says
            so of none.
        engine: what computes the network; OpenVINO on a CPU only.

    Raises:
        UsageError: the tile is negative, or too small for the overlap or the network; or the engine
            is not installed.
        DeviceError: the engine lacks the precision on this device.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: torch.device,
        precision: Precision = "fp32",
        tile: int | None = None,
        overlap: int = DEFAULT_OVERLAP,
        guard: bool = True,
        name: str = "custom",
        crew: Crew | None = None,
        sharp_above: float | None = None,
        engine: EngineName = "torch",
    ):
        self.name = name
        self.engine = engine
        self.sharp_above = sharp_above
        self.device = device
        self.precision = precision
        self.overlap = overlap
        self.guard = guard
        self.frames = network.config.frames
        self.stride = network.total_stride
        self.events = GuardEvents()
        check_tile(tile, overlap, self.stride)
        self.network = network.to(device).eval()
        self.crew = crew or crew_size(device)
        self._lock = threading.Lock()  # of the events and the tile
        self._engine = make_engine(self.network, engine, precision)
        self._exact: Engine | None = self._engine if precision == "fp32" else None
        if tile is None:
            free = free_bytes(device) // self.crew.workers
            tile = tile_for_memory(free, device, DTYPES[precision], self.stride)
            tile = max(tile, _smallest_tile(overlap, self.stride))
        self.tile = tile
        """Largest tile edge in use, in pixels; 0 = whole frames. Smaller once memory ran out."""

    @torch.inference_mode()
    def __call__(self, window: Tensor) -> Tensor:
        """Deblur the centre frame of each window.

        Args:
            window: (B, T, 3, H, W) RGB, nominally in [0, 1], T = ``frames``; on any device.

        Returns:
            (B, 3, H, W) float32 on ``device``, not clipped.

        Raises:
            DeviceError: the memory does not even hold the smallest tile.
        """
        assert window.ndim == 5 and window.shape[1:3] == (self.frames, 3), tuple(window.shape)
        return self.restore([self.enter(window[:, i]) for i in range(self.frames)])

    @torch.inference_mode()
    def enter(self, frames: Tensor, again: Callable[[], Tensor] | None = None) -> Entered:
        """Arrange frames for the network, once for all the windows that they will be in.

        Args:
            frames: (B, 3, H, W) RGB, nominally in [0, 1]; on any device.
            again: gives the same frames once more, float32 on ``device``. In half precision they
                are asked for in the end; without this they are kept meanwhile.
        """
        H, W = frames.shape[-2:]
        rgb = frames.to(self.device, torch.float32)
        features = self._engine.enter(rgb)
        exact = features.dtype is torch.float32
        return Entered(features, (H, W), None if exact else again or (lambda: rgb))

    @torch.inference_mode()
    def rgb_of(self, entered: Entered) -> Tensor:
        """(B, 3, H, W) float32 on ``device``: the frames that entered, exactly."""
        if entered.again is not None:
            return entered.again()
        H, W = entered.size
        return self._engine.leave(entered.features)[..., :H, :W]

    def spares(self, entered: Entered) -> bool:
        """Whether a frame that entered is so sharp already that it is to be left as it is.

        Counted as such: ask when it is about to be delivered.
        """
        if self.sharp_above is None:
            return False
        if not sharpness(self.rgb_of(entered)[0]) > self.sharp_above:  # NaN is for the guard
            return False
        self._count(sharp=1)
        return True

    @torch.inference_mode()
    def restore(self, window: Sequence[Entered]) -> Tensor:
        """Deblur the centre of a window of frames that have entered.

        Args:
            window: T = ``frames`` of one size, from `enter`.

        Returns:
            (B, 3, H, W) float32 on ``device``, not clipped.

        Raises:
            DeviceError: the memory does not even hold the smallest tile.
        """
        return self.before_and_after(window)[1]

    @torch.inference_mode()
    def before_and_after(self, window: Sequence[Entered]) -> tuple[Tensor, Tensor]:
        """The centre of a window as it entered, and what `restore` makes of it."""
        assert len(window) == self.frames, len(window)
        centre = self.rgb_of(window[self.frames // 2])
        features = [entered.features for entered in window]
        output = self._within_memory(self._engine, features, centre)
        return centre, self._guarded(window, centre, output) if self.guard else output

    def stream(
        self,
        frames: Iterable[Tensor],
        is_cut: Callable[[Tensor, Tensor], bool] | None = is_scene_cut,
    ) -> Iterator[Tensor]:
        """Deblur frames lazily and in order, as many at once as suit the first one's size.

        Args:
            frames: (3, H, W) RGB, nominally in [0, 1], which must stay as they are while they are
                in a window. A change of size starts a new scene.
            is_cut: whether a new scene starts between two neighbouring frames; None for never.

        Yields:
            One (3, H, W) float32 frame on ``device`` for each frame that came in.
        """

        def starts_scene(a: _Framed, b: _Framed) -> bool:
            return a.rgb.shape != b.rgb.shape or (is_cut is not None and is_cut(a.rgb, b.rgb))

        crew, begun = self._begin(frames)
        framed = (_Framed(frame, self.enter(frame[None])) for frame in begun)
        windows = sliding_windows(framed, radius=self.frames // 2, is_cut=starts_scene)
        with at_work(crew) as pool:
            yield from map_ahead(pool, self._restore_framed, windows, crew.workers - 1)

    def _begin(self, frames: Iterable[Tensor]) -> tuple[Crew, Iterator[Tensor]]:
        """The crew that suits the first frame's size, and all the frames."""
        rest = iter(frames)
        first = next(rest, None)
        if first is None:
            return self.crew, rest
        height, width = first.shape[-2:]
        return self.crew.for_frames(width, height), chain((first,), rest)

    def _restore_framed(self, window: Sequence[_Framed]) -> Tensor:
        centre = window[self.frames // 2].entered
        if self.spares(centre):
            return self.rgb_of(centre)[0]
        return self.restore([item.entered for item in window])[0]

    def _within_memory(self, engine: Engine, window: Sequence[Tensor], centre: Tensor) -> Tensor:
        """Run with ever smaller tiles until one fits; the tile is remembered."""
        while True:
            tile = self.tile
            try:
                return self._tiled(engine, window, centre, tile)
            except (RuntimeError, MemoryError) as err:
                if not is_out_of_memory(err):
                    raise
            # Outside of the except clause: the exception would keep the failed run's tensors alive.
            release_cached(self.device)
            self._halve_tile(tile, *centre.shape[-2:])

    def _tiled(self, engine: Engine, window: Sequence[Tensor], centre: Tensor, tile: int) -> Tensor:
        H, W = centre.shape[-2:]
        tile = tile or max(H, W)
        grid = tile_grid(H, W, tile, min(self.overlap, tile // 2), self.stride)

        def sharpen(area: Area) -> Tensor:
            part = area.in_features(self.stride, engine.unshuffle)
            return engine.restore([x[part.slices] for x in window], centre[area.slices])

        return run_tiles(sharpen, grid)

    def _halve_tile(self, tile: int, height: int, width: int) -> None:
        """Choose a tile smaller than ``tile``, which memory did not hold."""
        with self._lock:
            if self.tile != tile:  # another thread met the same
                return
            longest = max(height, width)
            tried = min(tile or longest, longest)
            half = halved_tile(tried, self.stride)
            if half is None:
                raise DeviceError(
                    f"{self.device} has not enough free memory for a tile of {tried} pixels: "
                    "close other programs, or choose another --device or a smaller --model"
                )
            self.tile = half
            self.events.tile_halved += 1

    def _guarded(self, window: Sequence[Entered], source: Tensor, output: Tensor) -> Tensor:
        """Replace results that cannot be shown: by float32 ones, else by the source frames."""
        sound = is_sound(source, output)
        if sound.all():
            return output
        if self.precision != "fp32":
            self._count(retried=int((~sound).sum()))
            output = output.clone()
            output[~sound] = self._again_exactly(window, ~sound)
            sound = is_sound(source, output)
        self._count(kept=int((~sound).sum()))
        return torch.where(sound[:, None, None, None], output, source)

    def _again_exactly(self, window: Sequence[Entered], wanted: Tensor) -> Tensor:
        """The frames ``wanted`` (B,) of a batch, computed in float32."""
        with self._lock:
            engine = self._exact = self._exact or torch_engine(self.network, torch.float32)
        frames = [self.rgb_of(entered)[wanted] for entered in window]
        features = [engine.enter(rgb) for rgb in frames]
        return self._within_memory(engine, features, frames[self.frames // 2])

    def _count(self, *, retried: int = 0, kept: int = 0, sharp: int = 0) -> None:
        with self._lock:
            self.events.retried += retried
            self.events.kept += kept
            self.events.sharp += sharp


def load_deblurrer(
    model: str | Path = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: str | int = "auto",
    overlap: int = DEFAULT_OVERLAP,
    sharp_above: float | None = None,
    engine: str = "auto",
) -> Deblurrer:
    """Load a model, ready to run.

    Args:
        model: a shipped name, a weights file, or ``auto``: ``david`` on a GPU, ``david-lite`` on a
            CPU.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``auto``: the first GPU, else the CPU.
        precision: ``fp32``, ``fp16``, ``bf16``, or ``auto``: what the device is fast in, see
            `resolve_precision`.
        tile: largest tile edge in pixels, 0 for whole frames, or ``auto``: what memory holds.
        overlap: pixels that neighbouring tiles share.
        sharp_above: frames sharper than this (see ``david_cli.sharpness``) are left as they are,
            without the network; None deblurs all.
        engine: ``torch``, ``openvino`` (on a CPU, with the extra of that name), or ``auto``: torch.

    Raises:
        UsageError: an impossible device name, precision, tile, overlap or engine.
        DeviceError: the device is not there.
        ModelError: the model is unknown or damaged.
    """
    if model == "auto":
        model = "david-lite" if resolve_device(device).type == "cpu" else "david"
    return prepare_deblurrer(
        load_network(model),
        device=device,
        precision=precision,
        tile=tile,
        overlap=overlap,
        name=Path(model).stem,
        sharp_above=sharp_above,
        engine=engine,
    )


def prepare_deblurrer(
    network: Network,
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: str | int = "auto",
    overlap: int = DEFAULT_OVERLAP,
    guard: bool = True,
    name: str = "custom",
    sharp_above: float | None = None,
    engine: str = "auto",
) -> Deblurrer:
    """Make a network ready to run, with settings as people type them; see `load_deblurrer`.

    Raises:
        UsageError: an impossible device name, precision, tile, overlap or engine.
        DeviceError: the device is not there.
    """
    place = resolve_device(device)
    return Deblurrer(
        network,
        device=place,
        precision=_precision_for(network, precision, place),
        tile=None if tile == "auto" else _as_pixels(tile),
        overlap=overlap,
        guard=guard,
        name=name,
        sharp_above=sharp_above,
        engine=resolve_engine(engine, place),
    )


def _precision_for(network: Network, name: str, device: torch.device) -> Precision:
    """``auto`` is bf16 only for networks that tell the change: in a whole picture it is 8 bits."""
    found = resolve_precision(name, device)
    return "fp32" if name == "auto" and found == "bf16" and not is_fast(network) else found


def check_tile(tile: int | None, overlap: int, stride: int) -> None:
    """Refuse tiles that cannot be; None and 0 always can.

    Raises:
        UsageError: negative, or too small for the overlap or the network.
    """
    if overlap < 0:
        raise UsageError(f"an overlap of {overlap} pixels cannot be: choose 0 or more")
    least = _smallest_tile(overlap, stride)
    if tile and tile < least:
        raise UsageError(
            f"a tile of {tile} pixels is too small for an overlap of {overlap}: choose at least "
            f"{least}, 0 for whole frames, or a smaller --overlap"
        )


def _smallest_tile(overlap: int, stride: int) -> int:
    """Twice the overlap and two strides, in whole strides."""
    return -(-max(2 * overlap, 2 * stride) // stride) * stride


def _as_pixels(tile: str | int) -> int:
    try:
        return int(tile)
    except ValueError as err:
        raise UsageError(f"a tile of {tile} cannot be: give a number of pixels, 0 or auto") from err
