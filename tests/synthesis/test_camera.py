"""The rendered camera: straight at time 0, exact sub-frames, believable motion."""

from __future__ import annotations

import pytest
import torch

from david_cli.synthesis.camera import (
    MotionRange,
    SceneRange,
    camera_path,
    enlarge,
    render,
    render_scene,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(5))
def test_the_camera_looks_straight_at_time_zero(seed: int) -> None:
    times = torch.arange(-28, 29)
    path = camera_path(times, MotionRange(), generator(seed))
    torch.testing.assert_close(path[28], torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_drift_is_within_the_range_asked_for(seed: int) -> None:
    motion = MotionRange(slowest=2.0, fastest=4.0, acceleration=0, tremor=0)
    path = camera_path(torch.tensor([0, 8]), motion, generator(seed))
    assert 2.0 <= path[1, :2, 2].norm() <= 4.0


def test_a_whole_pixel_pan_shifts_the_picture_exactly() -> None:
    texture = torch.rand(3, 24, 24, generator=generator())
    pan = torch.eye(3).repeat(2, 1, 1)
    pan[1, 0, 2] = 3.0
    still, moved = render(enlarge(texture), pan, 12)
    torch.testing.assert_close(moved[..., :-3], still[..., 3:], atol=1e-5, rtol=0)


def test_looking_straight_hardly_softens_the_texture() -> None:
    rows = torch.linspace(0, 12, 32).sin()
    texture = (0.5 + 0.4 * rows[:, None] * rows[None]).expand(3, 32, 32)
    seen = render(enlarge(texture), torch.eye(3)[None], 20)[0]
    error = (seen - texture[:, 6:26, 6:26]).abs().max()
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
