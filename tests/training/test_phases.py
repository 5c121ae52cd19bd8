"""A whole recipe: phases start from each other, stop, resume, and record what they did."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from david_cli.errors import InputError
from david_cli.network.david import David, DavidConfig
from david_cli.network.davidx import DavidXConfig
from david_cli.network.weights import load_network, read_info
from david_cli.synthesis.packs import Pack, Sample, open_pack, write_shard
from david_cli.training.phases import (
    Checkpointed,
    Event,
    Logged,
    PhaseDone,
    PhaseStarted,
    run_recipe,
    starting_point,
)
from david_cli.training.recipe import Recipe, read_recipe
from david_cli.training.scale import scale_to_minutes

THREE_PHASES = """
[network]
widths = [4, 6, 8]
attention_widths = [4, 6, 8]

[training]
batch = 4
crop = 16
lr = 1e-3
log_every = 2
checkpoint_minutes = 0

[[phase]]
name = "branch"
row = "Single"
network = { modules = 1, branches = [7] }
steps = 4

[[phase]]
name = "three"
start = ["branch"]
network = { modules = 1, branches = [3] }
steps = 3

[[phase]]
name = "module-attention"
start = ["three", "branch"]
network = { modules = 1, branches = [3, 7] }
part = "attention"
steps = 3

[[phase]]
name = "dual"
row = "Dual Att"
start = ["module-attention", "module-attention", "module-attention"]
network = { branches = [3, 7] }
steps = 2
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "three.toml"
    path.write_text(THREE_PHASES)
    return read_recipe(path)


@pytest.fixture
def pack_folder(pack: Pack, tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    open_pack(folder, {"settings": {"seed": 1}, "sources": {"a": "1"}})
    write_shard(folder, 0, [Sample(pack.blurry[i], pack.sharp[i], 7) for i in range(len(pack))])
    return folder


def test_phases_run_in_order_and_leave_weights(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    run = tmp_path / "run"
    run_recipe(recipe, [pack_folder], run, on_event=events.append)
    names = ["branch", "three", "module-attention", "dual"]
    assert [e.phase.name for e in events if isinstance(e, PhaseStarted)] == names
    assert sorted(p.stem for p in run.iterdir()) == sorted(names)
    assert [e.trained_now for e in events if isinstance(e, PhaseDone)] == [True] * 4
    assert any(isinstance(e, Logged) for e in events)
    assert any(isinstance(e, Checkpointed) and not e.network.training for e in events)

    info = read_info(run / "dual.safetensors")
    assert info.training["row"] == "Dual Att"
    assert info.training["steps"] == 4 + 3 + 3 + 2
    assert info.training["samples"] == 12 * 4
    assert info.training["precision"] == "float32"
    assert info.training["packs"] == {"pack": {"settings": {"seed": 1}, "sources": 1}}

    again: list[Event] = []
    run_recipe(recipe, [pack_folder], run, on_event=again.append)
    assert [e.trained_now for e in again if isinstance(e, PhaseDone)] == [False] * 4
    assert len(again) == 4


def test_a_stopped_recipe_resumes_to_the_same_weights(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    run_recipe(recipe, [pack_folder], tmp_path / "straight")

    class Stop(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, Checkpointed) and (event.phase.name, event.step) == ("three", 2):
            raise Stop

    run = tmp_path / "stopped"
    with pytest.raises(Stop):
        run_recipe(recipe, [pack_folder], run, on_event=stop)
    assert (run / "three.checkpoint.safetensors").exists()
    run_recipe(recipe, [pack_folder], run)
    assert not list(run.glob("*checkpoint*"))
    for name in ("three", "dual"):
        file = f"{name}.safetensors"
        ours, theirs = load_file(run / file), load_file(tmp_path / "straight" / file)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_weights_of_other_settings_are_not_overwritten(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    run_recipe(recipe, [pack_folder], tmp_path / "run", only=["branch"])
    with pytest.raises(InputError, match=r"trained with other settings \(branch: steps\)"):
        run_recipe(recipe.scaled(2), [pack_folder], tmp_path / "run", only=["branch"])


def test_a_phase_is_not_kept_when_one_before_it_was_changed(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run_recipe(recipe, [pack_folder], run, only=["branch", "three"])
    (run / "branch.safetensors").unlink()
    first = recipe.phases[0]
    slower = replace(first, training=replace(first.training, lr=1e-4))
    changed = replace(recipe, phases=(slower, *recipe.phases[1:]))
    with pytest.raises(InputError, match=r"three.* other settings \(branch: lr\)"):
        run_recipe(changed, [pack_folder], run, only=["branch", "three"])


def test_a_checkpoint_belongs_to_its_packs(
    recipe: Recipe, pack: Pack, pack_folder: Path, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, Checkpointed):
            raise Stop

    with pytest.raises(Stop):
        run_recipe(recipe, [pack_folder], tmp_path / "run", on_event=stop)
    other = tmp_path / "other"
    open_pack(other, {"settings": {"seed": 2}})
    write_shard(other, 0, [Sample(pack.blurry[0], pack.sharp[0], 7)])
    with pytest.raises(InputError, match="earlier phases or the packs differ"):
        run_recipe(recipe, [other], tmp_path / "run")


def test_phases_see_samples_of_their_own(recipe: Recipe) -> None:
    assert [phase.training.seed for phase in recipe.phases] == [1, 2, 3, 4]


def test_one_phase_alone_needs_the_ones_before_it(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no phase named brnch"):
        run_recipe(recipe, [pack_folder], tmp_path / "run", only=["brnch"])
    with pytest.raises(InputError, match="phase three: train phase branch first"):
        run_recipe(recipe, [pack_folder], tmp_path / "run", only=["three"])


def test_a_module_takes_each_branch_from_its_own_phase(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    run_recipe(recipe, [pack_folder], tmp_path / "run", only=["branch", "three"])
    module = starting_point(recipe.phases[2], recipe, tmp_path / "run")
    assert isinstance(module, David)
    for name, branch in zip(("three", "branch"), module.levels()[0].restorers(), strict=True):
        trained = load_network(tmp_path / "run" / f"{name}.safetensors")
        assert isinstance(trained, David)
        theirs = trained.levels()[0].restorers()[0].state_dict()
        assert all(torch.equal(v, theirs[k]) for k, v in branch.state_dict().items())


def test_a_phase_may_be_wider_than_what_it_starts_from_but_not_narrower(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    phase, run = recipe.phases[1], tmp_path / "run"
    run_recipe(recipe, [pack_folder], run, only=["branch"])
    assert isinstance(phase.network, DavidConfig)
    narrow = starting_point(phase, recipe, run)
    wider = replace(phase, network=replace(phase.network, widths=(5, 7, 9)))
    window = torch.rand(1, phase.network.frames, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            starting_point(wider, recipe, run)(window), narrow(window), atol=1e-5, rtol=0
        )
    narrower = replace(phase, network=replace(phase.network, widths=(4, 5, 8)))
    with pytest.raises(InputError, match=r"phase three, start branch: .*cannot be widened"):
        starting_point(narrower, recipe, run)


def test_minutes_are_turned_into_steps_once(
    recipe: Recipe, pack_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    scaled = scale_to_minutes(recipe, [pack_folder], run, 0.2, "cpu")
    record = json.loads((run / "scale.json").read_text())
    assert set(record["seconds_per_step"]) == {p.name for p in recipe.phases}
    assert scaled == recipe.scaled(record["factor"])
    assert scale_to_minutes(recipe, [pack_folder], run, 99, "cpu") == scaled  # a resumed run


def test_david_x_starts_from_a_single_branch(pack_folder: Path, tmp_path: Path) -> None:
    settings = 'kind = "david-x", widths = [4, 6, 8], exposures = [0.5], leak = 0.0'
    network = f"network = {{ {settings} }}\nsteps = 3\n"
    file = tmp_path / "x.toml"
    file.write_text(f'{THREE_PHASES}\n[[phase]]\nname = "x"\nstart = ["branch"]\n{network}')
    run_recipe(read_recipe(file), [pack_folder], tmp_path, only=["branch", "x"])
    info = read_info(tmp_path / "x.safetensors")
    assert info.config == DavidXConfig(widths=(4, 6, 8), exposures=(0.5,), leak=0.0)
    assert info.training["steps"] == 4 + 3

    file.write_text(f'{THREE_PHASES}\n[[phase]]\nname = "y"\nstart = ["three"]\n{network}')
    with pytest.raises(InputError, match="david-x starts from a Single DAVID of its own layout"):
        run_recipe(read_recipe(file), [pack_folder], tmp_path, only=["three", "y"])
