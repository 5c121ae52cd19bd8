"""Which samples a step sees: reproducible, augmented alike, shared among processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.synthesis.online import LIGHT, render_batch
from david_cli.synthesis.packs import Pack
from david_cli.synthesis.textures import FILE, Textures
from david_cli.training import batches
from david_cli.training.batches import (
    Scenes,
    as_bytes,
    as_float,
    draw_batch,
    read_source,
    settings_of_scenes,
)
from tests.training.quick import QUICK


def test_a_batch_depends_on_seed_and_step_alone(pack: Pack) -> None:
    first, again = draw_batch(pack, QUICK, 5), draw_batch(pack, QUICK, 5)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], draw_batch(pack, QUICK, 6)[0])
    assert first[0].shape == (4, 7, 3, 16, 16)


def test_a_sample_does_not_know_the_batch_it_is_in(pack: Pack) -> None:
    large, _, _ = draw_batch(pack, replace(QUICK, batch=8), 1)  # samples 8 to 15
    small = [draw_batch(pack, QUICK, step)[0] for step in (2, 3)]
    assert torch.equal(large, torch.cat(small))


def test_all_sixteen_symmetries_occur() -> None:
    g = torch.Generator().manual_seed(0)
    window = torch.randint(256, (1, 7, 3, 16, 16), generator=g, dtype=torch.uint8)
    one = Pack(window, window[:, 3], torch.tensor([7]), {})
    blurry, _, _ = draw_batch(one, replace(QUICK, batch=200), 0)
    assert len(torch.unique(blurry.flatten(1), dim=0)) == 16


def test_augmentation_turns_window_and_truth_alike() -> None:
    g = torch.Generator().manual_seed(0)
    sharp = torch.randint(256, (1, 3, 24, 24), generator=g, dtype=torch.uint8)
    pack = Pack(sharp[:, None].expand(-1, 7, -1, -1, -1), sharp, torch.tensor([7]), {})
    for step in range(8):
        blurry, truth, _ = draw_batch(pack, QUICK, step)
        assert torch.equal(blurry[:, 3], truth)


def test_crops_larger_than_the_samples_are_refused(pack: Pack) -> None:
    with pytest.raises(InputError, match="do not fit"):
        draw_batch(pack, replace(QUICK, crop=64), 0)


def test_processes_share_a_batch_without_overlap(pack: Pack) -> None:
    whole, _, _ = draw_batch(pack, QUICK, 2)
    parts = [draw_batch(pack, QUICK, 2, rank=rank, world=2)[0] for rank in range(2)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    g = torch.Generator().manual_seed(4)
    pictures = torch.randint(256, (3, 3, 48, 48), generator=g, dtype=torch.uint8)
    return Scenes(Textures(pictures), 7, {})


def test_scenes_are_rendered_as_asked(scenes: Scenes) -> None:
    config = replace(QUICK, levels=(3, 11), batch=6)
    blurry, sharp, level = draw_batch(scenes, config, 1)
    assert blurry.shape == (6, 7, 3, 16, 16) and sharp.shape == (6, 3, 16, 16)
    assert set(level.tolist()) <= {3, 11}
    again = draw_batch(scenes, config, 1)
    assert torch.equal(blurry, again[0])
    assert not torch.equal(blurry, draw_batch(scenes, config, 2)[0])


def test_processes_share_rendered_samples(scenes: Scenes) -> None:
    whole, _, _ = draw_batch(scenes, QUICK, 0)
    parts = [draw_batch(scenes, QUICK, 0, rank=rank, world=2)[0] for rank in range(2)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)


@pytest.mark.parametrize("steps", [2, 3])
def test_samples_rendered_ahead_are_the_same(
    steps: int, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(QUICK, steps=5)
    alone = [draw_batch(scenes, config, step) for step in range(5)]
    rendered: list[int] = []

    def counted(*args: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
        rendered.append(len(args[3]))
        return render_batch(*args, **options)

    monkeypatch.setitem(batches.PIXELS_AHEAD, "cpu", steps * config.batch * config.crop**2)
    monkeypatch.setattr(batches, "render_batch", counted)
    for step, samples in enumerate(alone):
        again = draw_batch(scenes, config, step)
        assert all(torch.equal(a, b) for a, b in zip(samples, again, strict=True))
    assert rendered == {2: [8, 8, 4], 3: [12, 8]}[steps]  # none beyond the last step


def test_bytes_lose_nothing(scenes: Scenes) -> None:
    config = replace(QUICK, batch=16, noise_share=0.5, compression_share=0.5)
    settings = settings_of_scenes(config, 7)
    blurry, sharp, _ = render_batch(scenes.textures, settings, 1, torch.arange(16), "cpu")
    for picture in (blurry, sharp):
        assert torch.equal(as_float(as_bytes(picture)), picture)


def test_stronger_motion_blurs_more(scenes: Scenes) -> None:
    def error(strength: float) -> float:
        config = replace(QUICK, batch=16, levels=(11,), strength=strength)
        blurry, sharp, _ = draw_batch(scenes, config, 0)
        return (blurry[:, 3] - sharp).square().mean().item()

    assert error(0.2) < 0.5 * error(1.0)


def test_light_samples_are_those_of_little_strength(scenes: Scenes) -> None:
    config = replace(QUICK, batch=16, strength=2.0)
    light, _, _ = draw_batch(scenes, replace(config, light_share=1.0), 0)
    weak, _, _ = draw_batch(scenes, replace(config, strength=LIGHT), 0)
    strong, _, _ = draw_batch(scenes, config, 0)
    assert torch.allclose(light, weak, atol=2 / 255)
    some, _, _ = draw_batch(scenes, replace(config, light_share=0.5), 0)
    is_light = (some == light).flatten(1).all(1)
    assert 2 < is_light.sum() < 14
    assert torch.equal(some[~is_light], strong[~is_light])


def test_packs_and_textures_do_not_mix(tmp_path: Path) -> None:
    folders = [tmp_path / "textures", tmp_path / "pack"]
    for folder in folders:
        folder.mkdir()
    (folders[0] / FILE).touch()
    with pytest.raises(InputError, match="holds textures: give it alone"):
        read_source(folders, QUICK, 7, "cpu")
