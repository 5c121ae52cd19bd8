"""Recipes: every mistake is named, and what ships is fair."""

from __future__ import annotations

from pathlib import Path

import pytest

from david_cli.errors import InputError
from david_cli.network.david import DavidConfig
from david_cli.network.dbn import DbnConfig
from david_cli.training.recipe import SHIPPED, find_recipe, read_recipe

GOOD = """
[network]
widths = [4, 6, 8]

[training]
batch = 8
lr = 1e-3

[[phase]]
name = "branch"
network = { modules = 1, branches = [7] }
steps = 10

[[phase]]
name = "all"
row = "Dual Att"
start = ["branch"]
levels = [3, 7]
steps = 5
lr = 1

[[phase]]
name = "dbn"
network = { kind = "dbn", width = 4 }
steps = 3
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_phases_take_over_what_is_shared(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, GOOD))
    branch, everything, dbn = recipe.phases
    assert branch.network == DavidConfig(widths=(4, 6, 8), modules=1, branches=(7,))
    assert everything.network == DavidConfig(widths=(4, 6, 8))
    assert dbn.network == DbnConfig(width=4)
    assert everything.training.batch == 8 and everything.training.lr == 1.0
    assert everything.training.levels == (3, 7) and branch.training.levels is None
    assert recipe.name == "mine"


def test_the_lineage_counts_every_phase_once(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, GOOD))
    assert [p.name for p in recipe.lineage("all")] == ["branch", "all"]
    assert [p.name for p in recipe.lineage("dbn")] == ["dbn"]


def test_scaling_keeps_at_least_one_step(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, GOOD))
    assert [p.training.steps for p in recipe.scaled(0.5).phases] == [5, 2, 2]
    assert [p.training.steps for p in recipe.scaled(0).phases] == [1, 1, 1]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("batch = 8", "bach = 8", r"\[training\]: unknown key 'bach'; did you mean 'batch'"),
        ("lr = 1\n", "leanring_rate = 1\n", "phase all: unknown key 'leanring_rate'"),
        ("width = 4", "widht = 4", "phase dbn: network: unknown key 'widht'; did you mean 'width'"),
        ("[training]", "[trainign]", "unknown key 'trainign'; did you mean 'training'"),
        ("steps = 5", "steps = 5.5", "phase all: 'steps' must be int, not 5.5"),
        ("steps = 5", "", "phase all: 'steps' is missing"),
        ("lr = 1e-3", 'lr = "fast"', "'lr' must be float"),
        ("levels = [3, 7]", "levels = 3", "'levels' must be a list"),
        ('name = "dbn"', 'name = "dbn"\npart = "external_att"', "must be one of all, attention"),
        ('kind = "dbn"', 'kind = "unet"', "kind must be one of david, david-x, dbn"),
        ("[4, 6, 8]", "[]", "must not be empty"),
        ('start = ["branch"]', 'start = ["dbn"]', "starts from dbn, which comes later"),
        ('name = "all"', 'name = "branch"', "more than one phase is named branch"),
        ("steps = 3", "steps = = 3", "cannot be read as a recipe"),
        ("steps = 5", "steps = 0", "phase all: steps must be at least 1"),
        ("levels = [3, 7]", "levels = [4]", "levels must be odd"),
        ("levels = [3, 7]", "input_psnr = [30, 20]", "the lowest and the highest PSNR"),
        ("levels = [3, 7]", "blur_bounds = [30, 38]", "blur_bounds must fall"),
        ("lr = 1e-3", "lr = 1e-3\nbetas = [0.9]", "betas are two numbers"),
        ('name = "all"', 'name = "a/b"', "'name' must be letters"),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in GOOD
    with pytest.raises(InputError, match=message):
        read_recipe(written(tmp_path, GOOD.replace(right, wrong)))


def test_a_recipe_without_phases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        read_recipe(written(tmp_path, "[training]\nlr = 1e-3\n"))


def test_recipes_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    assert find_recipe("ablation") == SHIPPED / "ablation.toml"
    path = written(tmp_path, GOOD)
    assert find_recipe(str(path)) == path
    with pytest.raises(InputError, match="choose ablation"):
        find_recipe("ablaton")
    with pytest.raises(InputError, match="no such recipe file"):
        find_recipe(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert read_recipe(path).phases


def test_every_row_of_the_ablation_sees_as_many_samples() -> None:
    recipe = read_recipe(find_recipe("ablation"))
    samples = {
        phase.row: sum(p.training.steps * p.training.batch for p in recipe.lineage(phase.name))
        for phase in recipe.phases
        if phase.row
    }
    assert len(samples) == 11
    assert set(samples.values()) == {160_000}
