"""The grid's invariants, the blend's, and the whole against networks whose reach is known."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from david_cli.inference.tiling import (
    CONTEXT_SHARE,
    Span,
    TileGrid,
    blend_weights,
    run_tiled,
    smallest_tile,
    tile_grid,
)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """length, tile, overlap, stride that belong together."""
    stride = draw(st.sampled_from([1, 2, 8, 16, 32]))
    overlap = draw(st.integers(0, 80))
    least = smallest_tile(overlap, stride)
    return draw(st.integers(1, 3000)), draw(st.integers(least, least + 600)), overlap, stride


@settings(deadline=None, max_examples=60)
@given(layouts())
def test_spans_cover_the_axis_aligned_even_and_overlapping(
    layout: tuple[int, int, int, int],
) -> None:
    length, tile, overlap, stride = layout
    spans = tile_grid(length, 1, tile, overlap, stride).rows
    assert spans[0].start == 0
    assert spans[-1].stop == length
    assert all(span.start % stride == 0 for span in spans)
    sizes = [span.stop - span.start for span in spans]
    assert max(sizes) <= max(tile, min(tile, length))
    assert len(set(sizes[:-1])) <= 1
    if len(spans) > 1:
        assert sizes[0] - stride < sizes[-1] <= sizes[0]
        assert all(a.stop - b.start >= overlap for a, b in pairwise(spans))
        steps = [b.start - a.start for a, b in pairwise(spans)]
        assert max(steps) - min(steps) <= stride
        largest, shared = tile // stride * stride, -(-overlap // stride) * stride
        assert (len(spans) - 1) * (largest - shared) + shared < length, "one tile too many"


@settings(deadline=None, max_examples=60)
@given(layouts())
def test_weights_sum_to_one_and_fade_slowly(layout: tuple[int, int, int, int]) -> None:
    length, tile, overlap, stride = layout
    spans = tile_grid(length, 1, tile, overlap, stride).rows
    weights = blend_weights(spans)
    assert weights.shape == (len(spans), length)
    assert weights.min() >= 0
    assert torch.allclose(weights.sum(0), torch.ones(length), atol=1e-6)
    for span, weight in zip(spans, weights, strict=True):
        assert weight[: span.start].sum() == 0
        assert weight[span.stop :].sum() == 0
    if overlap >= 16 and len(spans) > 1:
        steepest = torch.pi / 2 / ((1 - 2 * CONTEXT_SHARE) * overlap)
        assert weights.diff(dim=1).abs().max() < 1.01 * steepest


def test_a_tile_adds_nothing_where_it_lacks_context() -> None:
    weights = blend_weights((Span(0, 96), Span(32, 128)))
    assert weights[1, 32:57].max() == 0
    assert weights[0, 71:96].max() == 0
    assert weights[0, 63:65].mean() == pytest.approx(0.5, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(32, 96), st.integers(0, 16), st.data())
def test_the_identity_gives_the_input(
    height: int, width: int, tile: int, overlap: int, data: st.DataObject
) -> None:
    stride = data.draw(st.sampled_from([1, 8, 16]))
    window = torch.rand(2, 3, 3, height, width) * 3 - 1
    grid = tile_grid(height, width, tile, overlap, stride)
    output = run_tiled(window, lambda crop: crop[:, 1], grid)
    assert torch.allclose(output, window[:, 1], atol=1e-6, rtol=0)


def test_one_tile_is_the_network_itself() -> None:
    window = torch.rand(1, 7, 3, 40, 50)
    output = run_tiled(window, lambda crop: crop[:, 3] / 3, tile_grid(40, 50, 50, 16, 16))
    assert torch.equal(output, window[:, 3] / 3)


def blur(window: Tensor, reach: int) -> Tensor:
    """A box blur that reaches ``reach`` pixels, with zeros beyond the edge."""
    return F.avg_pool2d(window[:, 3], 2 * reach + 1, stride=1, padding=reach)


@pytest.mark.parametrize("size", [(200, 317), (96, 700), (333, 97)])
@pytest.mark.parametrize(("tile", "overlap"), [(96, 32), (128, 64), (200, 32), (96, 48)])
def test_tiles_equal_the_whole_where_the_network_reaches_no_further_than_the_context(
    size: tuple[int, int], tile: int, overlap: int
) -> None:
    window = torch.rand(1, 7, 3, *size)
    grid = tile_grid(*size, tile, overlap, 16)
    reach = int(CONTEXT_SHARE * overlap)
    output = run_tiled(window, lambda crop: blur(crop, reach), grid)
    assert len(grid) > 1
    assert torch.allclose(output, blur(window, reach), atol=1e-5)


def mosaic(window: Tensor) -> Tensor:
    """The mean of each 16 x 16 block: changes entirely with where the blocks start."""
    H, W = window.shape[-2:]
    padded = F.pad(window[:, 3], (0, -W % 16, 0, -H % 16), mode="replicate")
    return F.interpolate(F.avg_pool2d(padded, 16), scale_factor=16.0)[..., :H, :W]


@pytest.mark.parametrize("size", [(160, 240), (171, 250), (133, 97)])
def test_tiles_keep_the_phase_of_a_network_with_a_stride(size: tuple[int, int]) -> None:
    window = torch.rand(1, 7, 3, *size)
    output = run_tiled(window, mosaic, tile_grid(*size, 96, 24, 16))
    assert torch.allclose(output, mosaic(window), atol=1e-5)


def test_the_work_that_overlap_adds_is_small() -> None:
    grid = tile_grid(720, 1280, 512, 64, 16)
    work = sum((r.stop - r.start) * (c.stop - c.start) for r in grid.rows for c in grid.columns)
    assert len(grid) == 6
    assert work <= 1.25 * 720 * 1280


def test_a_grid_for_another_frame_is_a_bug() -> None:
    grid = TileGrid((Span(0, 8),), (Span(0, 8),))
    with pytest.raises(AssertionError):
        run_tiled(torch.zeros(1, 1, 3, 8, 9), lambda crop: crop[:, 0], grid)
