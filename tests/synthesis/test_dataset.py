"""Training packs from photographs: reproducible to the byte, whoever renders them."""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from david_cli.errors import InputError, OutputError
from david_cli.synthesis import dataset
from david_cli.synthesis.dataset import (
    build_pack,
    calibrated_strength,
    check_photos,
    render_sample,
    render_window,
)
from david_cli.synthesis.packs import read_packs
from david_cli.synthesis.settings import PackSettings
from tests.synthesis.photos import write_photos

SMALL = PackSettings(count=6, size=32, seed=4)
CLEAN = replace(SMALL, noise_share=0, compression_share=0, linear_share=0)
SOURCES = {"sources": [], "versions": {"torch": "any"}}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"))


def checksum(photos: list[Path], settings: PackSettings) -> str:
    digest = hashlib.sha256()
    for k in range(settings.count):
        sample = render_sample(photos, settings, k)
        digest.update(sample.blurry.numpy().tobytes())
        digest.update(sample.sharp.numpy().tobytes())
    return digest.hexdigest()


def test_a_sample_is_a_pure_function_of_seed_and_number(photos: list[Path]) -> None:
    assert checksum(photos, SMALL) == checksum(photos, SMALL)
    assert checksum(photos, SMALL) != checksum(photos, replace(SMALL, seed=5))
    sample = render_sample(photos, SMALL, 3)
    assert sample.blurry.shape == (7, 3, 32, 32)
    assert sample.level in SMALL.levels


def test_the_truth_is_the_centre_without_its_blur(photos: list[Path]) -> None:
    for k in range(4):
        sample = render_sample(photos, replace(CLEAN, levels=(1,)), k)
        assert torch.equal(sample.blurry[3], sample.sharp)


def test_every_frame_of_a_window_has_its_truth(photos: list[Path]) -> None:
    window = render_window(photos, replace(CLEAN, levels=(1,)), 2)
    assert torch.equal(window.blurry, window.sharp)
    assert not torch.equal(window.sharp[0], window.sharp[6])


def test_each_level_of_each_scene(photos: list[Path]) -> None:
    settings = replace(CLEAN, levels=(3, 15), level_choice="each")
    light, heavy, other = (render_sample(photos, settings, k) for k in range(3))
    assert [s.level for s in (light, heavy, other)] == [3, 15, 3]
    assert torch.equal(light.sharp, heavy.sharp)
    assert not torch.equal(light.sharp, other.sharp)
    assert not torch.equal(light.blurry, heavy.blurry)


def test_two_processes_render_the_same_bytes_as_one(photos: list[Path], tmp_path: Path) -> None:
    for workers in (1, 2):
        build_pack(photos, tmp_path / str(workers), SMALL, SOURCES, workers=workers)
    one, two = (sorted((tmp_path / str(n)).iterdir()) for n in (1, 2))
    assert [p.name for p in one] == ["pack.json", "shard-0000.safetensors"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    pack = read_packs([tmp_path / "1"])
    assert len(pack) == SMALL.count
    level = int(pack.level[0])
    assert set(read_packs([tmp_path / "1"], [level]).level.tolist()) == {level}
    assert pack.description["1"]["settings"]["seed"] == 4


def test_a_pack_that_was_stopped_is_completed(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "SHARD_SAMPLES", 2)
    build_pack(photos, tmp_path / "straight", SMALL, SOURCES)
    build_pack(photos, tmp_path / "stopped", SMALL, SOURCES)
    (tmp_path / "stopped" / "shard-0001.safetensors").unlink()
    done: list[tuple[int, int]] = []
    build_pack(
        photos, tmp_path / "stopped", SMALL, SOURCES, on_shard=lambda n, of: done.append((n, of))
    )
    assert done == [(3, 3)]
    for file in (tmp_path / "straight").iterdir():
        assert file.read_bytes() == (tmp_path / "stopped" / file.name).read_bytes()


def test_a_pack_is_not_mixed_with_another_one(photos: list[Path], tmp_path: Path) -> None:
    build_pack(photos, tmp_path, SMALL, SOURCES)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    for other, sources in ((replace(SMALL, seed=9), SOURCES), (SMALL, {"sources": ["x"]})):
        with pytest.raises(OutputError, match="other settings"):
            build_pack(photos, tmp_path, other, sources)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_blur_is_calibrated(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "PROBE", 24)
    light, heavy = (calibrated_strength(photos, SMALL, target=psnr) for psnr in (36.0, 26.0))
    assert light < heavy
    assert calibrated_strength(photos, SMALL, target=26.0) == heavy


@pytest.mark.parametrize("target", [12.0, 28.5, 29.4, 31.0, 35.7, 60.0])
def test_calibration_finds_the_nearest_of_all_strengths(
    target: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def psnr(strength: float) -> float:
        return 34 - 6 * math.log2(strength)

    def probe(photos: list[Path], settings: PackSettings, k: int) -> float:
        assert settings.levels == (7,)
        return psnr(settings.strength) + (k - 1) / 10  # of three samples, the mean is exact

    monkeypatch.setattr(dataset, "PROBE", 3)
    monkeypatch.setattr(dataset, "_probe", probe)
    counted: list[int] = []
    found = calibrated_strength([], SMALL, target=target, on_sample=counted.append)
    assert found == min(dataset.STRENGTHS, key=lambda strength: abs(psnr(strength) - target))
    assert counted == list(range(1, len(counted) + 1)) and len(counted) >= 3 * 3


def test_photographs_are_kept_as_far_as_memory_goes(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = checksum(photos, SMALL)
    decoded: list[Path] = []
    decode = dataset._decode
    monkeypatch.setattr(dataset, "_decode", lambda path: decoded.append(path) or decode(path))
    monkeypatch.setattr(dataset, "_kept", OrderedDict())
    monkeypatch.setattr(dataset, "KEPT_BYTES", 2 * 4 * 240 * 200)  # two of the three
    a, b, c = photos
    for path in (a, b, a, c, a, b, b):
        dataset._read_photo(path)
    assert decoded == [a, b, c, b]  # what was used last is kept
    assert list(dataset._kept) == [a, b]
    monkeypatch.setattr(dataset, "KEPT_BYTES", 0)
    assert checksum(photos, SMALL) == once
    assert len(dataset._kept) == 1


def test_a_damaged_photograph_is_named(photos: list[Path], tmp_path: Path) -> None:
    cut_off = tmp_path / "cut.jpg"
    cut_off.write_bytes(photos[0].read_bytes()[:-600])
    with pytest.raises(InputError, match=r"cut\.jpg cannot be read as a photograph"):
        check_photos([photos[0], cut_off])


def test_a_record_says_what_it_says(photos: list[Path], tmp_path: Path) -> None:
    build_pack(photos, tmp_path, SMALL, SOURCES)
    record = json.loads((tmp_path / "pack.json").read_text())
    assert record["versions"] == {"torch": "any"}
    assert record["settings"]["levels"] == [3, 7, 11, 15]
    assert record["settings"]["strength"] == 1.0
