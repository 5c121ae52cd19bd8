"""The network made fit for use: any frame size, any device, and never worse than the source.

    window (B, T, 3, H, W) -> tiles -> network -> blend -> guard -> the sharp centres (B, 3, H, W)

Where memory runs out, the tile is halved and the same frame done again; where a result fails the
guard, it is computed again in float32, else the source frame is delivered. No frame is ever lost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from david_cli.errors import DeviceError, UsageError
from david_cli.inference.device import DTYPES, Precision, resolve_device, resolve_precision
from david_cli.inference.guard import GuardEvents, is_sound
from david_cli.inference.memory import (
    free_bytes,
    halved_tile,
    is_out_of_memory,
    release_cached,
    tile_for_memory,
)
from david_cli.inference.tiling import run_tiled, tile_grid
from david_cli.inference.window import sliding_windows
from david_cli.network.weights import load_network
from david_cli.scenes import is_scene_cut

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


class NetworkConfig(Protocol):
    """What is asked of a network's configuration."""

    @property
    def frames(self) -> int:
        """Window length T."""


class Network(Protocol):
    """What is asked of a network; ``david_cli.network.david.David`` is one."""

    total_stride: int
    """Pixels after which its arithmetic repeats."""

    @property
    def config(self) -> NetworkConfig: ...

    def __call__(self, window: Tensor, /) -> Tensor:
        """(B, T, 3, H, W), any H and W, in the network's own dtype -> (B, 3, H, W)."""

    def to(self, *args: Any, **kwargs: Any) -> Self: ...

    def eval(self) -> Self: ...


class Deblurrer:
    """A network with its device, precision and tiling; call it on windows, or stream frames.

    Args:
        network: moved to ``device`` and set to evaluation.
        device: where to compute.
        precision: of the arithmetic inside the network; everything else is float32.
        tile: largest edge of a tile in pixels; 0 for whole frames, None for what the free memory
            holds.
        overlap: pixels that neighbouring tiles share.
        guard: whether to check every result against its source.
        name: what to call the network in reports.

    Raises:
        UsageError: the tile is negative, or too small for the overlap or the network.
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
    ):
        self.name = name
        self.device = device
        self.precision = precision
        self.overlap = overlap
        self.guard = guard
        self.frames = network.config.frames
        self.stride = network.total_stride
        self.events = GuardEvents()
        check_tile(tile, overlap, self.stride)
        self.network = network.to(device).eval()
        self._fast = self.network  # in the precision asked for; the float32 one stays for retries
        if precision != "fp32":
            self._fast = copy.deepcopy(self.network).to(DTYPES[precision])
        if tile is None:
            free = free_bytes(device)
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
        output = self._within_memory(window, exact=False)
        return self._guarded(window, output) if self.guard else output

    def stream(
        self,
        frames: Iterable[Tensor],
        is_cut: Callable[[Tensor, Tensor], bool] | None = is_scene_cut,
    ) -> Iterator[Tensor]:
        """Deblur frames one by one, lazily and in order.

        Args:
            frames: (3, H, W) RGB, nominally in [0, 1]. A change of size starts a new scene.
            is_cut: whether a new scene starts between two neighbouring frames; None for never.

        Yields:
            One (3, H, W) float32 frame on ``device`` for each frame that came in.
        """

        def starts_scene(a: Tensor, b: Tensor) -> bool:
            return a.shape != b.shape or (is_cut is not None and is_cut(a, b))

        on_device = (frame.to(self.device, torch.float32) for frame in frames)
        windows = sliding_windows(on_device, radius=self.frames // 2, is_cut=starts_scene)
        for window in windows:
            yield self(torch.stack(window)[None])[0]

    def _within_memory(self, window: Tensor, *, exact: bool) -> Tensor:
        """Run with ever smaller tiles until one fits; the tile is remembered."""
        while True:
            try:
                return self._tiled(window, exact=exact)
            except (RuntimeError, MemoryError) as err:
                if not is_out_of_memory(err):
                    raise
            # Outside of the except clause: the exception would keep the failed run's tensors alive.
            release_cached(self.device)
            self._halve_tile(*window.shape[-2:])

    def _tiled(self, window: Tensor, *, exact: bool) -> Tensor:
        network, dtype = self.network, torch.float32
        if not exact:
            network, dtype = self._fast, DTYPES[self.precision]
        H, W = window.shape[-2:]
        tile = self.tile or max(H, W)
        grid = tile_grid(H, W, tile, min(self.overlap, tile // 2), self.stride)
        window = window.to(self.device)

        def sharpen(crop: Tensor) -> Tensor:
            if dtype is torch.float32:
                sharp: Tensor = network(crop)
                return sharp
            rounded, centre = crop.to(dtype), self.frames // 2
            # the change is added to the frame itself, which half precision would round
            return crop[:, centre] + (network(rounded).float() - rounded[:, centre].float())

        return run_tiled(window, sharpen, grid)

    def _halve_tile(self, height: int, width: int) -> None:
        longest = max(height, width)
        tried = min(self.tile or longest, longest)
        half = halved_tile(tried, self.stride)
        if half is None:
            raise DeviceError(
                f"{self.device} has not enough free memory for a tile of {tried} pixels: "
                "close other programs, or choose another --device or a smaller --model"
            )
        self.tile = half
        self.events.tile_halved += 1

    def _guarded(self, window: Tensor, output: Tensor) -> Tensor:
        """Replace results that cannot be shown: by float32 ones, else by the source frames."""
        source = window[:, self.frames // 2].to(output.device, torch.float32)
        sound = is_sound(source, output)
        if sound.all():
            return output
        if self.precision != "fp32":
            self.events.retried += int((~sound).sum())
            output = output.clone()
            output[~sound] = self._within_memory(window[(~sound).to(window.device)], exact=True)
            sound = is_sound(source, output)
        self.events.kept += int((~sound).sum())
        return torch.where(sound[:, None, None, None], output, source)


def load_deblurrer(
    model: str | Path = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: str | int = "auto",
    overlap: int = DEFAULT_OVERLAP,
) -> Deblurrer:
    """Load a model, ready to run.

    Args:
        model: a shipped name, a weights file, or ``auto``: ``david`` on a GPU, ``david-lite`` on a
            CPU.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``auto``: the first GPU, else the CPU.
        precision: ``fp32``, ``fp16``, ``bf16``, or ``auto``: fp16 on CUDA, fp32 elsewhere.
        tile: largest tile edge in pixels, 0 for whole frames, or ``auto``: what memory holds.
        overlap: pixels that neighbouring tiles share.

    Raises:
        UsageError: an impossible device name, precision, tile or overlap.
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
) -> Deblurrer:
    """Make a network ready to run, with settings as people type them; see `load_deblurrer`.

    Raises:
        UsageError: an impossible device name, precision, tile or overlap.
        DeviceError: the device is not there.
    """
    place = resolve_device(device)
    return Deblurrer(
        network,
        device=place,
        precision=resolve_precision(precision, place),
        tile=None if tile == "auto" else _as_pixels(tile),
        overlap=overlap,
        guard=guard,
        name=name,
    )


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
