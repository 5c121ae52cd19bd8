"""A frame too large for memory, as overlapping tiles: the grid, and the blend.

    window (B, T, 3, H, W) -> crops -> network -> feathered sum -> (B, 3, H, W)

Tiles start at multiples of the network's total stride, so that its down- and upsampling falls on
the same pixels as in the whole frame; then a tile differs from the whole only near its own cut
edges, where it lacks context. Most of the overlap, two fifths at either side, is context alone;
across the fifth in its middle one tile fades into the next.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from david_cli.errors import UsageError

CONTEXT_SHARE = 0.4
"""Part of an overlap, at either side of it, that a tile sees but does not contribute to."""


@dataclass(frozen=True)
class Span:
    """Pixels ``start`` (inclusive) to ``stop`` (exclusive) along one axis."""

    start: int
    stop: int


@dataclass(frozen=True)
class Area:
    """A tile: rows and columns of a frame."""

    rows: Span
    columns: Span

    @property
    def slices(self) -> tuple[types.EllipsisType, slice, slice]:
        """What cuts it out of (..., H, W)."""
        rows, columns = self.rows, self.columns
        return ..., slice(rows.start, rows.stop), slice(columns.start, columns.stop)

    def in_features(self, stride: int, unshuffle: int) -> Area:
        """The same where a position stands for ``unshuffle`` pixels and edges are padded."""
        scaled = (
            Span(span.start // unshuffle, math.ceil(span.stop / stride) * stride // unshuffle)
            for span in (self.rows, self.columns)
        )
        return Area(*scaled)


@dataclass(frozen=True)
class TileGrid:
    """Every pair of a row span and a column span is a tile."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def height(self) -> int:
        return self.rows[-1].stop

    @property
    def width(self) -> int:
        return self.columns[-1].stop


def tile_grid(height: int, width: int, tile: int, overlap: int, stride: int) -> TileGrid:
    """Cover a frame with as few tiles as possible.

    Args:
        height: of the frame, in pixels.
        width: of the frame, in pixels.
        tile: largest edge of a tile; a longer frame axis is split.
        overlap: least number of pixels that neighbours share; with ``tile`` rounded down and
            ``overlap`` rounded up to multiples of ``stride``, the first must exceed the second.
        stride: the network's total stride; tiles start at its multiples.
    """
    return TileGrid(_spans(height, tile, overlap, stride), _spans(width, tile, overlap, stride))


def check_tile(tile: int | None, overlap: int, stride: int) -> None:
    """Refuse tiles that cannot be; None and 0 always can.

    Raises:
        UsageError: negative, or too small for the overlap or the network.
    """
    if overlap < 0:
        raise UsageError(f"an overlap of {overlap} pixels cannot be: choose 0 or more")
    least = smallest_tile(overlap, stride)
    if tile and tile < least:
        raise UsageError(
            f"a tile of {tile} pixels is too small for an overlap of {overlap}: choose at least "
            f"{least}, 0 for whole frames, or a smaller --overlap"
        )


def smallest_tile(overlap: int, stride: int) -> int:
    """Half as long again as the overlap: shorter ones would do the same work ten times and more."""
    shared = -(-overlap // stride)  # from here in units of stride
    return max(math.ceil(1.5 * shared), shared + 1, 2) * stride


def _spans(length: int, tile: int, overlap: int, stride: int) -> tuple[Span, ...]:
    """Evenly spread spans of one size; the last one ends at the edge, and may be shorter for it.

    It is shorter by less than a stride: what the network pads, at the edge of the frame, anyway.
    """
    if length <= tile:
        return (Span(0, length),)
    units, largest = math.ceil(length / stride), tile // stride  # from here in units of stride
    shared = math.ceil(overlap / stride)
    assert largest > shared, f"tiles of {tile} cannot overlap by {overlap} at stride {stride}"
    count = math.ceil((units - shared) / (largest - shared))
    size = math.ceil((units + (count - 1) * shared) / count)
    last = units - size
    starts = [i * last // max(1, count - 1) for i in range(count)]
    return tuple(Span(s * stride, min((s + size) * stride, length)) for s in starts)


def blend_weights(spans: tuple[Span, ...]) -> Tensor:
    """Weight of each span at each pixel of its axis: (spans, length) float32, columns sum to 1.

    Zero outside a span; a raised cosine falls from 1 to 0 across the middle of each overlap.
    """
    pixels = torch.arange(spans[-1].stop, dtype=torch.float64) + 0.5
    weights = torch.stack(
        [((pixels > span.start) & (pixels < span.stop)).to(pixels.dtype) for span in spans]
    )
    for i, (left, right) in enumerate(pairwise(spans)):
        rising = _fade(pixels, right.start, left.stop)
        weights[i + 1] *= rising
        weights[i] *= 1 - rising
    total = weights.sum(0)  # 1 already, except where three tiles meet
    assert total.min() > 0
    return (weights / total).float()


def _fade(pixels: Tensor, start: int, stop: int) -> Tensor:
    """0 to 1 over the middle of an overlap from ``start`` to ``stop``; a step where it is empty."""
    context = CONTEXT_SHARE * (stop - start)
    width = max(stop - start - 2 * context, 1e-6)
    position = ((pixels - start - context) / width).clamp(0, 1)
    return (1 - torch.cos(math.pi * position)) / 2


def run_tiled(window: Tensor, run: Callable[[Tensor], Tensor], grid: TileGrid) -> Tensor:
    """Apply ``run`` to every tile of a window and blend what comes back.

    Args:
        window: (B, T, 3, H, W).
        run: (B, T, 3, h, w) -> (B, C, h, w), for crops of the window.
        grid: tiles of H x W pixels.

    Returns:
        (B, C, H, W) float32; exactly what ``run`` gives where there is one tile.
    """
    assert (grid.height, grid.width) == window.shape[-2:]
    return run_tiles(lambda area: run(window[area.slices]), grid)


def run_tiles(run: Callable[[Area], Tensor], grid: TileGrid) -> Tensor:
    """Blend what ``run`` gives for every tile.

    Args:
        run: a tile of h x w pixels -> (B, C, h, w).
        grid: tiles of H x W pixels.

    Returns:
        (B, C, H, W) float32; exactly what ``run`` gives where there is one tile.
    """
    if len(grid) == 1:
        return run(Area(grid.rows[0], grid.columns[0])).float()
    blended: Tensor | None = None
    for area, weight in _weighted_tiles(grid):
        part = run(area).float()
        part = part * weight.to(part.device)
        if blended is None:
            blended = part.new_zeros(*part.shape[:2], grid.height, grid.width)
        blended[area.slices] += part
    assert blended is not None
    return blended


def _weighted_tiles(grid: TileGrid) -> Iterator[tuple[Area, Tensor]]:
    """The tiles, each with its weights (h, w)."""
    by_row, by_column = blend_weights(grid.rows), blend_weights(grid.columns)
    for rows, vertical in zip(grid.rows, by_row, strict=True):
        for columns, horizontal in zip(grid.columns, by_column, strict=True):
            down = vertical[rows.start : rows.stop, None]
            yield Area(rows, columns), down * horizontal[None, columns.start : columns.stop]
