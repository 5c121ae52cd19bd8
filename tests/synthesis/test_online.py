"""Rendering on the training device: the same whatever the batch, and what packs hold."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from david_cli.errors import InputError, OutputError
from david_cli.synthesis import online
from david_cli.synthesis.exposure import input_psnr
from david_cli.synthesis.online import render_batch
from david_cli.synthesis.settings import SampleSettings
from david_cli.synthesis.textures import FILE, Textures, TextureStoreSettings, make_textures
from tests.synthesis.photos import write_photos

SMALL = SampleSettings(size=32)
CLEAN = replace(SMALL, noise_share=0, compression_share=0, linear_share=0)
STORE = TextureStoreSettings(count=7, edge=96)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def folder(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("textures")
    make_textures(photos, target, STORE, {"sources": ["a"]})
    return target


@pytest.fixture(scope="module")
def textures(folder: Path) -> Textures:
    return Textures.load(folder)


def test_textures_come_back(textures: Textures, folder: Path) -> None:
    assert textures.pictures.shape == (7, 3, 96, 96)
    assert textures.pictures.dtype == torch.uint8
    assert all(picture.float().std() > 10 for picture in textures.pictures)
    assert [p.name for p in sorted(folder.iterdir())] == ["pack.json", FILE]


def test_textures_are_reproducible(photos: list[Path], folder: Path, tmp_path: Path) -> None:
    make_textures(photos, tmp_path, STORE, {"sources": ["a"]})
    assert (tmp_path / FILE).read_bytes() == (folder / FILE).read_bytes()
    with pytest.raises(OutputError, match="other settings"):
        make_textures(photos, tmp_path, replace(STORE, seed=2), {"sources": ["a"]})


def test_what_holds_no_textures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable folder of textures"):
        Textures.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"damaged")
    with pytest.raises(InputError, match="not a readable folder of textures"):
        Textures.load(tmp_path)


def test_a_sample_is_a_pure_function_of_seed_and_number(textures: Textures) -> None:
    indices = torch.arange(24)
    blurry, sharp, level = render_batch(textures, SMALL, 5, indices, "cpu")
    some = torch.tensor([17, 2, 11])
    again = render_batch(textures, SMALL, 5, some, "cpu")
    for whole, part in zip((blurry, sharp, level), again, strict=True):
        assert torch.equal(whole[some], part)
    other, _, _ = render_batch(textures, SMALL, 6, some, "cpu")
    assert not torch.equal(other, again[0])
    assert blurry.shape == (24, 7, 3, 32, 32) and sharp.shape == (24, 3, 32, 32)
    for x in (blurry, sharp):
        assert x.min() >= 0 and x.max() <= 1
        torch.testing.assert_close(x * 255, (x * 255).round())
    assert set(level.tolist()) == {3, 7, 11, 15}


def test_how_much_is_rendered_at_once_does_not_matter(
    textures: Textures, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = render_batch(textures, SMALL, 1, torch.arange(12), "cpu")
    monkeypatch.setitem(online.PIXELS_AT_ONCE, "cpu", 1)
    for whole, single in zip(
        many, render_batch(textures, SMALL, 1, torch.arange(12), "cpu"), strict=True
    ):
        assert torch.equal(whole, single)


@pytest.mark.parametrize("linear", [0.0, 1.0])
def test_the_truth_is_the_centre_without_its_blur(textures: Textures, linear: float) -> None:
    settings = replace(CLEAN, levels=(1,), linear_share=linear)
    blurry, sharp, _ = render_batch(textures, settings, 1, torch.arange(8), "cpu")
    torch.testing.assert_close(blurry[:, 3], sharp, atol=1.01 / 255, rtol=0)


def test_longer_exposures_and_faster_cameras_blur_more(textures: Textures) -> None:
    def strength(settings: SampleSettings) -> float:
        blurry, sharp, _ = render_batch(textures, settings, 1, torch.arange(32), "cpu")
        return input_psnr(blurry[:, 3], sharp).mean().item()

    by_level = [strength(replace(CLEAN, levels=(level,))) for level in (3, 7, 15)]
    assert by_level == sorted(by_level, reverse=True)
    assert strength(replace(CLEAN, levels=(7,), strength=3.0)) < by_level[1] - 2


def test_each_level_of_each_scene(textures: Textures) -> None:
    settings = replace(CLEAN, levels=(3, 15), level_choice="each")
    blurry, sharp, level = render_batch(textures, settings, 1, torch.arange(4), "cpu")
    assert level.tolist() == [3, 15, 3, 15]
    torch.testing.assert_close(sharp[0], sharp[1], atol=1.01 / 255, rtol=0)
    assert not torch.equal(blurry[0], blurry[1])
    assert (sharp[0] - sharp[2]).abs().max() > 0.1


def test_noise_and_compression_come_on_top(textures: Textures) -> None:
    indices = torch.arange(6)
    clean, sharp, _ = render_batch(textures, CLEAN, 1, indices, "cpu")
    for share in ("noise_share", "compression_share"):
        settings = replace(CLEAN, **{share: 1.0})
        spoilt, same_sharp, _ = render_batch(textures, settings, 1, indices, "cpu")
        assert torch.equal(same_sharp, sharp)
        change = (spoilt - clean).square().mean((1, 2, 3, 4)).sqrt()
        assert (change > 0.0005).all() and (change < 0.06).all()


def test_training_needs_neither_pyav_nor_pillow_for_it() -> None:
    script = (
        "import sys; import david_cli.synthesis.online, david_cli.synthesis.packs; "
        "print(sorted({'av', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
