"""Camera motion is no cut, another scene is one; on synthetic pans and on real frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from david_cli.scenes import is_scene_cut, palette_difference, similarity, thumbnail


@cache
def landscape(seed: int, height: int = 144, width: int = 256) -> Tensor:
    """A picture with structure at all scales (3, height, width) in [0, 1], its colours its own."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, height, width)
    for octave in range(1, 7):
        noise = torch.randn(1, 3, 2**octave, 2 ** (octave + 1), generator=generator)
        size = (height, width)
        picture += F.interpolate(noise, size, mode="bicubic", align_corners=False) / 1.2**octave
    tint = torch.rand(1, 3, 1, 1, generator=generator) - 0.5
    return torch.sigmoid(2 * (picture - picture.mean() + tint))[0]


def view(picture: Tensor, x: float, y: float = 0.0, zoom: float = 1.0, turn: float = 0.0) -> Tensor:
    """A 72 x 128 view of half the picture, moved by x, y in widths of the view."""
    c, s = math.cos(turn) / zoom / 2, math.sin(turn) / zoom / 2
    matrix = torch.tensor([[[c, -s * 72 / 128, x], [s * 128 / 72, c, y]]])
    grid = F.affine_grid(matrix, [1, 3, 72, 128], align_corners=False)
    return F.grid_sample(picture[None], grid, padding_mode="reflection", align_corners=False)[0]


def exposed(picture: Tensor, x: tuple[float, float], y: tuple[float, float] = (0, 0)) -> Tensor:
    """A view moving during its exposure: the mean of nine views between two places."""
    places = zip(torch.linspace(*x, 9), torch.linspace(*y, 9), strict=True)
    return torch.stack([view(picture, float(u), float(v)) for u, v in places]).mean(0)


SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
class TestMotionIsNoCut:
    @pytest.mark.parametrize("distance", [0.0, 0.1, 0.2, 0.4])
    def test_pan(self, seed: int, distance: float) -> None:
        picture = landscape(seed)
        half = distance / 2
        assert not is_scene_cut(view(picture, -half), view(picture, half))
        assert not is_scene_cut(exposed(picture, (-distance, 0)), exposed(picture, (0, distance)))

    def test_tilt(self, seed: int) -> None:
        picture = landscape(seed)
        assert not is_scene_cut(view(picture, 0, -0.1), view(picture, 0, 0.1))

    def test_shake_blurs_neighbours_in_different_directions(self, seed: int) -> None:
        picture = landscape(seed)
        along, across = exposed(picture, (-0.05, 0.05)), exposed(picture, (0.05, 0.05), (0, 0.1))
        assert not is_scene_cut(along, across)
        assert not is_scene_cut(view(picture, 0), exposed(picture, (0, 0.15), (0, 0.05)))

    def test_zoom_and_rotation(self, seed: int) -> None:
        picture = landscape(seed)
        assert not is_scene_cut(view(picture, 0), view(picture, 0.02, zoom=1.2))
        assert not is_scene_cut(view(picture, 0), view(picture, 0.02, turn=math.radians(13)))

    def test_flash_and_exposure(self, seed: int) -> None:
        picture = landscape(seed)
        a, b = view(picture, -0.02), view(picture, 0.02)
        assert not is_scene_cut(a, (1.4 * b + 0.05).clamp(max=1))
        assert not is_scene_cut(a, 0.6 * b)

    def test_noise_in_the_dark(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        a, b = 0.02 + 0.05 * torch.rand(2, 3, 72, 128, generator=generator)
        assert not is_scene_cut(a, b)


def test_different_pictures_are_cuts() -> None:
    pictures = [view(landscape(seed), 0) for seed in range(20)]
    missed = [i for i, (a, b) in enumerate(pairwise(pictures)) if not is_scene_cut(a, b)]
    assert missed == []


def test_order_does_not_matter_and_a_frame_resembles_itself() -> None:
    a, b = (thumbnail(view(landscape(seed), 0)) for seed in (1, 2))
    assert similarity(a, b) == pytest.approx(similarity(b, a), abs=1e-6)
    assert similarity(a, a) == pytest.approx(1, abs=1e-4)
    assert palette_difference(a, a.flip(2)) == pytest.approx(0, abs=1e-7)


def test_a_thumbnail_is_the_mean_over_areas_and_its_own_thumbnail() -> None:
    frame = torch.rand(3, 72, 128)
    small = thumbnail(frame)
    assert torch.allclose(small, frame.reshape(3, 36, 2, 64, 2).mean((2, 4)), atol=1e-6)
    assert torch.equal(thumbnail(small), small)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (35, 64), (37, 65), (500, 3)])
def test_any_size_and_flat_pictures(size: tuple[int, int]) -> None:
    black, grey, white = (torch.full((3, *size), value) for value in (0.0, 0.1, 1.0))
    red, blue = torch.zeros(3, *size), torch.zeros(3, *size)
    red[0], blue[2] = 1, 1
    assert not is_scene_cut(black, black)
    assert not is_scene_cut(black, grey)
    assert is_scene_cut(black, white)
    assert is_scene_cut(red, blue)


def test_sizes_differ_between_scenes() -> None:
    assert is_scene_cut(torch.zeros(3, 8, 8), torch.zeros(3, 8, 9))


def test_picture_after_black_is_a_cut() -> None:
    assert is_scene_cut(torch.zeros(3, 72, 128), view(landscape(3), 0))


def blurriest(folder: Path) -> Iterator[tuple[str, list[Tensor]]]:
    for clip in sorted(folder.iterdir()):
        yield clip.name, [read(path) for path in sorted((clip / "blur15").iterdir())[:6]]


def read(path: Path) -> Tensor:
    pixels = np.asarray(Image.open(path).convert("RGB").resize((256, 144)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def test_heavily_blurred_hand_held_clips_hold_no_cut_but_meet_at_one(shared_data: Path) -> None:
    clips = dict(blurriest(shared_data / "val" / "pairs"))
    for name, frames in clips.items():
        assert not any(is_scene_cut(a, b) for a, b in pairwise(frames)), name
    for (_, before), (name, after) in pairwise(clips.items()):
        assert is_scene_cut(before[-1], after[0]), name


@pytest.mark.slow
def test_photos_next_to_each_other_are_nearly_always_cuts(shared_data: Path) -> None:
    paths = sorted((shared_data / "train" / "photos").iterdir())
    apart = [path for path in paths if not path.name.startswith(("opensfm", "vipseg"))]
    photos = [read(path) for path in apart[::3]]  # the other two are frames of a few scenes
    found = [is_scene_cut(a, b) for a, b in pairwise(photos)]
    assert sum(found) >= 0.93 * len(found)
