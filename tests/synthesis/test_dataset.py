"""Training packs: reproducible to the byte, whoever renders them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from david_cli.errors import InputError, OutputError
from david_cli.synthesis.dataset import (
    PackSettings,
    build_pack,
    read_packs,
    render_sample,
)
from david_cli.synthesis.footage import list_sources

SMALL = PackSettings(count=6, size=32, seed=4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png", "c.webp"):
        coarse = rng.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(coarse).resize((240, 200)).save(folder / name)
    (folder / "notes.txt").write_text("no photograph")
    return list_sources([folder], folder / "frames", 2)


def test_photographs_are_found_by_suffix_in_name_order(photos: list[Path]) -> None:
    assert [p.name for p in photos] == ["a.jpg", "b.png", "c.webp"]
    with pytest.raises(InputError, match="neither sharp pictures nor videos"):
        list_sources([photos[0].parent / "notes.txt"], photos[0].parent / "frames", 2)


def test_videos_give_their_sharpest_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (48, 64, 3), np.uint8)
    flat = np.full_like(texture, 128)
    with av.open(str(tmp_path / "clip.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        for i in range(8):  # frames 2 and 5 are sharp
            picture = texture if i in (2, 5) else flat
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    frames = list_sources([tmp_path], tmp_path / "frames", 2)
    assert [p.name for p in frames] == ["clip-000.png", "clip-001.png"]
    for path in frames:
        with Image.open(path) as image:
            difference = np.abs(np.asarray(image).astype(int) - texture)
        assert difference.mean() < 3


def test_a_sample_is_a_pure_function_of_seed_and_number(photos: list[Path]) -> None:
    first, again = render_sample(photos, SMALL, 3), render_sample(photos, SMALL, 3)
    other = render_sample(photos, replace(SMALL, seed=5), 3)
    assert torch.equal(first.blurry, again.blurry) and torch.equal(first.sharp, again.sharp)
    assert not torch.equal(first.blurry, other.blurry)
    assert first.blurry.shape == (7, 3, 32, 32)
    assert first.level in SMALL.levels


def test_the_truth_is_the_centre_without_its_blur(photos: list[Path]) -> None:
    clean = replace(SMALL, levels=(1,), noise_share=0, compression_share=0, linear_share=0)
    for k in range(4):
        sample = render_sample(photos, clean, k)
        assert torch.equal(sample.blurry[3], sample.sharp)


def test_two_processes_render_the_same_bytes_as_one(photos: list[Path], tmp_path: Path) -> None:
    for workers in (1, 2):
        build_pack(photos, tmp_path / str(workers), SMALL, workers=workers)
    one, two = (sorted((tmp_path / str(n)).iterdir()) for n in (1, 2))
    assert [p.name for p in one] == ["pack.json", "shard-0000.safetensors"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    pack = read_packs([tmp_path / "1"])
    assert len(pack) == SMALL.count
    level = int(pack.level[0])
    assert set(read_packs([tmp_path / "1"], [level]).level.tolist()) == {level}


def test_a_pack_is_not_mixed_with_another_one(photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "pack.json").write_text("{}")
    with pytest.raises(OutputError, match="other settings"):
        build_pack(photos, tmp_path, SMALL)


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable training pack"):
        read_packs([tmp_path])
