"""The rendered camera: straight at time 0, exact sub-frames, believable motion."""

from __future__ import annotations

import pytest
import torch

from david_cli.synthesis.camera import (
    MotionRange,
    PathChance,
    SceneRange,
    camera_path,
    enlarge,
    render,
    render_scene,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def path_of(seed: int, times: torch.Tensor, motion: MotionRange) -> torch.Tensor:
    return camera_path(times, motion, PathChance.draw(generator(seed), torch.device("cpu")))


@pytest.mark.parametrize("seed", range(5))
def test_the_camera_looks_straight_at_time_zero(seed: int) -> None:
    path = path_of(seed, torch.arange(-28, 29), MotionRange())
    torch.testing.assert_close(path[28], torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_drift_is_within_the_range_asked_for(seed: int) -> None:
    motion = MotionRange(slowest=2.0, fastest=4.0, acceleration=0, tremor=0)
    path = path_of(seed, torch.tensor([0, 8]), motion)
    assert 2.0 <= path[1, :2, 2].norm() <= 4.0


def test_a_faster_camera_goes_the_same_way_faster() -> None:
    motion = MotionRange(tremor=0)
    times = torch.arange(-8, 9)
    slow, fast = (path_of(3, times, motion.faster(s))[:, :2, 2] for s in (1.0, 2.5))
    torch.testing.assert_close(fast, 2.5 * slow, atol=1e-4, rtol=1e-4)


def test_a_batch_of_paths_is_its_paths() -> None:
    times = torch.arange(-5, 6)
    chances = [PathChance.draw(generator(s), torch.device("cpu")) for s in range(3)]
    together = PathChance(
        *(torch.stack([getattr(c, name) for c in chances]) for name in vars(chances[0]))
    )
    batch = camera_path(times, MotionRange(), together)
    for path, chance in zip(batch, chances, strict=True):
        torch.testing.assert_close(path, camera_path(times, MotionRange(), chance))


def test_a_whole_pixel_pan_shifts_the_picture_exactly() -> None:
    texture = torch.rand(1, 3, 24, 24, generator=generator())
    path = torch.eye(3).repeat(1, 2, 1, 1)
    path[0, 1, 0, 2] = 3.0
    still, moved = render(enlarge(texture), path, 12)[0].unbind(1)
    torch.testing.assert_close(moved[..., :-3], still[..., 3:], atol=1e-5, rtol=0)


def test_looking_straight_hardly_softens_the_texture() -> None:
    rows = torch.linspace(0, 12, 32).sin()
    texture = (0.5 + 0.4 * rows[:, None] * rows[None]).expand(1, 3, 32, 32)
    seen = render(enlarge(texture), torch.eye(3)[None, None], 20)[0, :, 0]
    error = (seen - texture[0, :, 6:26, 6:26]).abs().max()
    assert error < 0.03


def test_scenes_depend_on_the_seed_alone() -> None:
    background, foreground = torch.rand(2, 3, 40, 40, generator=generator(9))
    times = torch.arange(-3, 4)
    scene = SceneRange(layer_share=1.0)

    def rendered(seed: int) -> torch.Tensor:
        return render_scene(background, foreground, times, 16, scene, generator(seed))

    assert torch.equal(rendered(1), rendered(1))
    assert not torch.equal(rendered(1), rendered(2))
    assert rendered(1).shape == (7, 3, 16, 16)
    assert rendered(1).min() >= 0 and rendered(1).max() <= 1


def test_a_layer_hides_what_is_behind_it() -> None:
    background, foreground = torch.zeros(3, 40, 40), torch.ones(3, 40, 40)
    scene = SceneRange(layer_share=1.0)
    shares = [
        render_scene(background, foreground, torch.tensor([0]), 16, scene, generator(s)).mean()
        for s in range(8)
    ]
    assert any(share > 0.05 for share in shares)
    bare = SceneRange(layer_share=0.0)
    assert render_scene(background, foreground, torch.tensor([0]), 16, bare, generator()).sum() == 0
