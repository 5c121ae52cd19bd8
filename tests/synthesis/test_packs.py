"""The files of a pack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from david_cli.errors import InputError, OutputError
from david_cli.synthesis.packs import (
    Sample,
    has_samples,
    levels_in,
    note_measured,
    open_pack,
    read_packs,
    temporary_folder,
    write_shard,
)


def sample(level: int, size: int = 8) -> Sample:
    g = torch.Generator().manual_seed(level)
    blurry = torch.randint(256, (7, 3, size, size), generator=g, dtype=torch.uint8)
    return Sample(blurry, blurry[3], level)


def test_samples_come_back(tmp_path: Path) -> None:
    open_pack(tmp_path / "p", {"settings": {"levels": (3, 7)}})
    write_shard(tmp_path / "p", 0, [sample(3), sample(7)])
    write_shard(tmp_path / "p", 1, [sample(15)])
    pack = read_packs([tmp_path / "p"])
    assert pack.level.tolist() == [3, 7, 15]
    assert torch.equal(pack.blurry[2], sample(15).blurry)
    assert torch.equal(read_packs([tmp_path / "p"], [7]).sharp[0], sample(7).sharp)


def test_samples_of_a_strength_of_blur(tmp_path: Path) -> None:
    """Centres 10 and 1 codes off, 28.1 and 48.1 dB; the other frames do not count."""
    sharp = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    shard = []
    for off in (10, 1):
        blurry = sample(7).blurry.clone()
        blurry[3] = sharp + off
        shard.append(Sample(blurry, sharp, 7))
    open_pack(tmp_path, {})
    write_shard(tmp_path, 0, shard)
    kept = {
        psnr: (read_packs([tmp_path], None, psnr).blurry[:, 3, 0, 0, 0] - 100).tolist()
        for psnr in ((0.0, 30.0), (30.0, 200.0), (28.0, 49.0))
    }
    assert kept == {(0.0, 30.0): [10], (30.0, 200.0): [1], (28.0, 49.0): [10, 1]}
    assert has_samples([tmp_path], [7], (28.0, 29.0))
    assert not has_samples([tmp_path], [3], (28.0, 29.0))
    with pytest.raises(InputError, match="no samples of level 7 of 30 to 40 dB"):
        read_packs([tmp_path], [7], (30.0, 40.0))


def test_levels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    open_pack(tmp_path, {})
    write_shard(tmp_path, 0, [sample(3)])
    assert levels_in([tmp_path]) == {3}
    with pytest.raises(InputError, match="no samples of level 7, 11"):
        read_packs([tmp_path], [7, 11])


def test_packs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for i, folder in enumerate((tmp_path / "a" / "pack", tmp_path / "b" / "pack")):
        folder.mkdir(parents=True)
        open_pack(folder, {"seed": i})
        write_shard(folder, 0, [sample(3)])
    pack = read_packs([tmp_path / "a" / "pack", tmp_path / "b" / "pack"])
    assert pack.description == {"pack": {"seed": 0}, "pack (2)": {"seed": 1}}


def test_what_was_measured_does_not_make_it_another_pack(tmp_path: Path) -> None:
    record = {"settings": {"levels": (3, 7)}}
    open_pack(tmp_path, record)
    note_measured(tmp_path, {"input_psnr": {"7": 28.5}})
    open_pack(tmp_path, record)
    assert json.loads((tmp_path / "pack.json").read_text())["measured"] == {
        "input_psnr": {"7": 28.5}
    }
    with pytest.raises(OutputError, match="other settings"):
        open_pack(tmp_path, {"settings": {"levels": (3,)}})


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "{}"])
def test_a_damaged_record_is_not_overwritten(content: str, tmp_path: Path) -> None:
    (tmp_path / "pack.json").write_text(content)
    with pytest.raises(OutputError, match="other settings"):
        open_pack(tmp_path, {"settings": 1})
    assert (tmp_path / "pack.json").read_text() == content


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable training pack"):
        read_packs([tmp_path])
    open_pack(tmp_path, {})
    with pytest.raises(InputError, match="not complete, 0 of 1 shards"):
        read_packs([tmp_path])
    write_shard(tmp_path, 0, [sample(3)])
    write_shard(tmp_path, 1, [sample(3, size=16)])
    with pytest.raises(InputError, match="different sample sizes"):
        read_packs([tmp_path])
    (tmp_path / "shard-0001.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="not a readable shard"):
        read_packs([tmp_path])


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "done") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "done").exists()
    assert (tmp_path / "done" / "file").read_text() == "x"
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path / "stopped") as folder:
        (folder / "file").write_text("x")
        raise KeyboardInterrupt
    with temporary_folder(tmp_path / "empty"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["done"]
    with pytest.raises(OutputError, match="exists"), temporary_folder(tmp_path / "done"):
        pass
