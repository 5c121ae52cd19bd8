"""What cannot work is refused before the first step, with the phase and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from david_cli.errors import InputError
from david_cli.synthesis.packs import Pack, Sample, open_pack, write_shard
from david_cli.synthesis.textures import FILE as TEXTURES_FILE
from david_cli.training.checks import check_phases
from david_cli.training.recipe import read_recipe

BASE = """
[network]
widths = [4, 6, 8]
attention_widths = [4, 6, 8]

[[phase]]
name = "last"
steps = 1
crop = 16
"""


@pytest.fixture
def pack_folder(pack: Pack, tmp_path: Path) -> Path:
    open_pack(tmp_path / "pack", {})
    write_shard(tmp_path / "pack", 0, [Sample(pack.blurry[0], pack.sharp[0], 7)])
    return tmp_path / "pack"


def check(text: str, pack_folder: Path) -> None:
    path = pack_folder.with_name("recipe.toml")
    path.write_text(text)
    recipe = read_recipe(path)
    check_phases(recipe, recipe.phases, [pack_folder], pack_folder.with_name("run"))


def test_what_can_work_passes(pack_folder: Path) -> None:
    check(BASE, pack_folder)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("levels = [7, 11]", "phase last trains on level 11, and .*pack has no such samples"),
        ("crop = 32", "phase last trains on crops of 32 pixels, .* have 24"),
        ("network = { frames = 9, branches = [9] }", "looks at 9 frames, .* have 7"),
        ('part = "attention"\nnetwork = { modules = 1, branches = [7] }', "no attention part"),
        ('loss = "level"', 'trains part = "external"'),
        ('loss = "level"\npart = "external"\nnetwork = { softmax = false }', "and softmax"),
        ('loss = "blur"', 'loss = "blur" trains part = "external"'),
        ('loss = "blur"\npart = "external"\nblur_bounds = [30]', "must hold 2 values here"),
        ("blur_bounds = [38, 30]", "must hold 0 values here"),
        ("input_psnr = [90, 99]", "of 90 to 99 dB, and .*pack has none"),
    ],
)
def test_what_cannot_is_refused(pack_folder: Path, more: str, message: str) -> None:
    text = BASE.replace("crop = 16\n", "") if more.startswith("crop") else BASE
    with pytest.raises(InputError, match=message):
        check(text + more + "\n", pack_folder)


def test_textures_have_no_strength_of_blur_to_choose_by(tmp_path: Path) -> None:
    (tmp_path / TEXTURES_FILE).touch()
    with pytest.raises(InputError, match="input_psnr chooses samples of packs"):
        check(BASE + "input_psnr = [0, 30]\n", tmp_path)


def test_a_pack_still_being_rendered_is_refused(pack: Pack, tmp_path: Path) -> None:
    open_pack(tmp_path / "pack", {"settings": {"count": 600}})
    write_shard(tmp_path / "pack", 0, [Sample(pack.blurry[0], pack.sharp[0], 7)])
    with pytest.raises(InputError, match="not complete, 1 of 3 shards"):
        check(BASE, tmp_path / "pack")
