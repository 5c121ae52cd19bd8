"""The curves between a source and the learned range, against float64 formulas written here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from david_cli.transfer import CINEON, LINEAR, UNSPECIFIED, change_in_source, to_learned_range

LARGEST = 2.0**127
lights = st.floats(-LARGEST, LARGEST, width=32)


def scene(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB in the standard's own rounding, logarithm above 1, mirrored below 0."""
    size = np.abs(light)
    low, high = 12.92 * size, 1.055 * np.minimum(size, 1) ** (1 / 2.4) - 0.055
    curve = np.where(size <= 0.0031308, low, high + 1.055 / 2.4 * np.log(np.maximum(size, 1)))
    return np.copysign(curve, light)


def film(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of ten-bit codes in [0, 1]: black at 95, white at 685."""
    black = 10 ** ((95 - 685) * 0.002 / 0.6)
    return (10 ** ((1023 * code - 685) * 0.002 / 0.6) - black) / (1 - black)


def seen(values: list[float] | NDArray[np.float64], transfer: int) -> torch.Tensor:
    return to_learned_range(torch.tensor(np.asarray(values, np.float32)), transfer)


def test_scene_light_follows_srgb_then_a_logarithm() -> None:
    light = np.concatenate([np.linspace(-3, 3, 4001), np.logspace(-9, 38, 200)])
    light = light.astype(np.float32).astype(np.float64)
    rounding = 3e-4  # 12.92 for 12.9232
    assert np.allclose(seen(light, LINEAR).double(), scene(light), rtol=rounding, atol=1e-6)


def test_film_codes_become_light_first() -> None:
    codes = np.linspace(0, 1, 1024)
    assert np.allclose(seen(codes, CINEON).double(), scene(film(codes)), rtol=3e-4, atol=1e-5)
    black, white = seen([95 / 1023, 685 / 1023], CINEON).tolist()
    assert abs(black) < 1e-5 and abs(white - 1) < 1e-5


@given(st.lists(lights, min_size=1, max_size=50))
def test_scene_light_comes_back(values: list[float]) -> None:
    light = torch.tensor(values)
    nothing = torch.zeros_like(light)
    back = change_in_source(to_learned_range(light, LINEAR), nothing, LINEAR)
    error = (back.double() - light.double()).abs() / light.double().abs().clamp_min(1e-30)
    assert float(error[light != 0].max() if (light != 0).any() else 0) < 2e-5


@given(lights, lights)
def test_scene_light_is_monotone_and_mirrored(a: float, b: float) -> None:
    low, high = sorted((a, b))
    x, y = seen([low, high], LINEAR).tolist()
    assert x <= y
    assert seen([-low], LINEAR).tolist() == [-x]


@pytest.mark.parametrize("joint", [0.0, 0.0030399, 1.0])
@pytest.mark.parametrize("transfer", [LINEAR])
def test_no_steps_where_pieces_meet(joint: float, transfer: int) -> None:
    steps = np.float32(joint) + np.arange(-50, 51) * max(joint, 1e-6) * 1e-6
    out = seen(steps, transfer)
    assert (out.diff() >= 0).all()
    assert float(out.max() - out.min()) < 2e-4 * max(joint, 1e-2) * 20


@pytest.mark.parametrize("transfer", [LINEAR, CINEON, UNSPECIFIED])
@given(values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_no_change_is_exactly_none(transfer: int, values: list[float]) -> None:
    shown = seen(values, transfer)
    assert not change_in_source(shown, shown, transfer).any()


@pytest.mark.parametrize("transfer", [LINEAR, CINEON])
def test_no_output_of_a_network_gives_anything_but_a_number(transfer: int) -> None:
    output = torch.tensor([-1e6, -50.0, -1.0, 0.0, 1.0, 50.0, 1e6])
    shown = seen([0.0, 1.0, 0.5, 0.2, 0.9, 1.0, 0.0], transfer)
    assert change_in_source(output, shown, transfer).isfinite().all()


def test_film_codes_come_back() -> None:
    codes = torch.linspace(0, 1, 4096)
    back = change_in_source(seen(codes.numpy(), CINEON), seen(0 * codes.numpy(), CINEON), CINEON)
    assert float((back - codes).abs().max()) < 2e-6
