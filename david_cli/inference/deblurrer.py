"""The network made fit for use: any frame size, any device, and never worse than the source.

    frame -> enter, once a frame -> window of what entered -> tiles -> engine -> blend -> guard
          -> the sharp centre frame

Several windows of frames of one size may go together. Where memory runs out, `Portions` takes less
at once; where a result fails the guard, it is computed again in float32, else the source frame is
delivered. No frame is ever lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from david_cli.inference.device import DTYPES, EngineName, Precision
from david_cli.inference.engine import (
    Engine,
    Entered,
    Network,
    joined,
    make_engine,
    torch_engine,
)
from david_cli.inference.guard import GuardEvents, is_sound
from david_cli.inference.memory import free_bytes, tile_for_memory
from david_cli.inference.portions import Portions
from david_cli.inference.tiling import TileGrid, check_tile, smallest_tile
from david_cli.inference.window import sliding_windows
from david_cli.inference.workers import Crew, at_work, batches, crew_size, map_ahead
from david_cli.network.shipped import DEFAULT_OVERLAP
from david_cli.scenes import is_scene_cut
from david_cli.sharpness import sharpness


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
        crew: how many frames to work on at once, with how many threads each, and how many of them
            in one batch; what the device suggests where None.
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
        self.guard = guard
        self.frames = network.config.frames
        self.stride = network.total_stride
        self.events = GuardEvents()
        check_tile(tile, overlap, self.stride)
        self.network = network.to(device).eval()
        self.crew = crew or crew_size(device)
        self._lock = threading.Lock()  # of the events
        self._engine = make_engine(self.network, engine, precision)
        self._exact: Engine | None = self._engine if precision == "fp32" else None
        by_area = tile is None
        if tile is None:
            free = free_bytes(device) // self.crew.workers
            tile = tile_for_memory(free, device, DTYPES[precision], self.stride)
            tile = max(tile, smallest_tile(overlap, self.stride))
        self._portions = Portions(device, tile, overlap, self.stride, by_area=by_area)

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring tiles share."""
        return self._portions.overlap

    @property
    def tile(self) -> int:
        """Largest tile edge in use, in pixels; 0 = whole frames. Smaller once memory ran out."""
        return self._portions.tile

    @tile.setter
    def tile(self, edge: int) -> None:
        self._portions.tile = edge

    def grid(self, height: int, width: int) -> TileGrid:
        """The tiles into which frames of a size are cut."""
        return self._portions.grid(height, width)

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
        output = self._run(self._engine, features, centre)
        return centre, self._guarded(window, centre, output) if self.guard else output

    @torch.inference_mode()
    def restore_each(
        self, windows: Sequence[Sequence[Entered]]
    ) -> list[tuple[Tensor, Tensor] | None]:
        """Deblur the centres of several windows at once, except those that `spares` leaves alone.

        Args:
            windows: of T = ``frames`` each, all frames of one size.

        Returns:
            For each window its centre before and after, (3, H, W) float32; None where it is spared.
        """
        is_spared = [self.spares(window[self.frames // 2]) for window in windows]
        blurry = [window for window, spared in zip(windows, is_spared, strict=True) if not spared]
        if not blurry:
            return [None] * len(windows)
        before, after = self.before_and_after(joined(blurry))
        pairs = zip(before.unbind(), after.unbind(), strict=True)
        return [None if spared else next(pairs) for spared in is_spared]

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
        together = batches(windows, crew.batch, _of_one_size)
        with at_work(crew) as pool:
            done = map_ahead(pool, self._restore_framed, together, crew.workers - 1)
            yield from chain.from_iterable(done)

    def _begin(self, frames: Iterable[Tensor]) -> tuple[Crew, Iterator[Tensor]]:
        """The crew that suits the first frame's size, and all the frames."""
        rest = iter(frames)
        first = next(rest, None)
        if first is None:
            return self.crew, rest
        height, width = first.shape[-2:]
        return self.crew.for_frames(width, height), chain((first,), rest)

    def _restore_framed(self, windows: Sequence[Sequence[_Framed]]) -> list[Tensor]:
        entered = [[framed.entered for framed in window] for window in windows]
        return [
            self.rgb_of(window[self.frames // 2])[0] if pair is None else pair[1]
            for window, pair in zip(entered, self.restore_each(entered), strict=True)
        ]

    def _run(self, engine: Engine, features: Sequence[Tensor], centre: Tensor) -> Tensor:
        return self._portions.run(engine, features, centre, partial(self._count, halved=1))

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
        return self._run(engine, features, frames[self.frames // 2])

    def _count(self, *, retried: int = 0, kept: int = 0, sharp: int = 0, halved: int = 0) -> None:
        with self._lock:
            self.events.tile_halved += halved
            self.events.retried += retried
            self.events.kept += kept
            self.events.sharp += sharp


def _of_one_size(a: Sequence[_Framed], b: Sequence[_Framed]) -> bool:
    """Whether two windows may go together; the frames of one have one size."""
    return a[0].rgb.shape == b[0].rgb.shape
