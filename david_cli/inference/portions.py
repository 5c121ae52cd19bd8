"""What goes through the network at once: whole batches of whole frames, or what memory holds.

    windows -> as many as memory holds -> tiles as large as it holds -> engine -> blend -> frames

Where memory runs out, fewer windows go at once, as that changes no picture; when it is one window
alone, the tile is halved. The same frames are then done again: none is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from david_cli.errors import DeviceError
from david_cli.inference.engine import Engine
from david_cli.inference.memory import halved_tile, is_out_of_memory, release_cached
from david_cli.inference.tiling import Area, TileGrid, run_tiles, smallest_tile, tile_grid


class Portions:
    """Batch and tile in use, which get smaller when memory runs out and stay so.

    Safe to use from several threads at once.

    Args:
        device: whose memory it is.
        tile: largest edge of a tile in pixels; 0 for whole frames.
        overlap: pixels that neighbouring tiles share.
        stride: the network's total stride.
        by_area: whether ``tile`` stands for what memory holds, so that a frame of no more pixels
            than a square tile goes through whole, however long: 1280x720 where it is 1024.
    """

    def __init__(
        self, device: torch.device, tile: int, overlap: int, stride: int, *, by_area: bool = False
    ):
        self.device, self.overlap, self.stride = device, overlap, stride
        self.by_area = by_area
        self.tile = tile
        """Largest tile edge, in pixels; 0 = whole frames."""
        self.batch: int | None = None
        """Most windows at once; None while memory has held all that came."""
        self._lock = threading.Lock()

    def grid(self, height: int, width: int) -> TileGrid:
        """The tiles of a frame."""
        return self._grid(height, width, self.tile)

    def run(
        self,
        engine: Engine,
        window: Sequence[Tensor],
        centre: Tensor,
        on_halved: Callable[[], None],
    ) -> Tensor:
        """Restore the centres of windows.

        Args:
            engine: computes the network.
            window: features of T frames of B windows, from `Engine.enter`.
            centre: (B, 3, H, W) float32, the centre frames.
            on_halved: called each time that the tile was halved.

        Returns:
            (B, C, H, W) float32, not clipped.

        Raises:
            DeviceError: the memory does not even hold the smallest tile of one window.
        """
        while True:
            batch, tile = min(len(centre), self.batch or len(centre)), self.tile
            try:
                return self._batches(engine, window, centre, batch, tile)
            except (RuntimeError, MemoryError) as err:
                if not is_out_of_memory(err):
                    raise
            # Outside of the except clause: the exception would keep the failed run's tensors alive.
            release_cached(self.device)
            if self._shrink(batch, tile, max(centre.shape[-2:])):
                on_halved()

    def _batches(
        self, engine: Engine, window: Sequence[Tensor], centre: Tensor, batch: int, tile: int
    ) -> Tensor:
        if batch == len(centre):
            return self._tiled(engine, window, centre, tile)
        parts = zip(*(torch.split(x, batch) for x in (centre, *window)), strict=True)
        return torch.cat([self._tiled(engine, part[1:], part[0], tile) for part in parts])

    def _tiled(self, engine: Engine, window: Sequence[Tensor], centre: Tensor, tile: int) -> Tensor:
        H, W = centre.shape[-2:]
        grid = self._grid(H, W, tile)

        def sharpen(area: Area) -> Tensor:
            part = area.in_features(self.stride, engine.unshuffle)
            return engine.restore([x[part.slices] for x in window], centre[area.slices])

        return run_tiles(sharpen, grid)

    def _grid(self, height: int, width: int, tile: int) -> TileGrid:
        if not tile or (self.by_area and height * width <= tile * tile):
            tile = max(height, width)
        fits = tile >= smallest_tile(self.overlap, self.stride)  # not if memory ran out
        return tile_grid(height, width, tile, self.overlap if fits else tile // 2, self.stride)

    def _shrink(self, batch: int, tile: int, longest: int) -> bool:
        """Choose less than what memory did not hold, and tell whether that is a smaller tile.

        ``longest`` is the longer edge of the frames.
        """
        with self._lock:
            if batch > 1:  # another thread may have met less by now
                self.batch = min(batch // 2, self.batch or batch)
                return False
            if self.tile != tile:  # another thread met the same
                return False
            tried = min(tile or longest, longest)
            half = halved_tile(tried, self.stride)
            if half is None:
                raise DeviceError(
                    f"{self.device} has not enough free memory for a tile of {tried} pixels: "
                    "close other programs, or choose another --device or a smaller --model"
                )
            self.tile = half
            return True
