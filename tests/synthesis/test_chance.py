"""Numbers that depend on numbers alone."""

from __future__ import annotations

import pytest
import torch

from david_cli.synthesis.chance import _GOLDEN, Draws, _mix, generator_for


def test_the_mixer_is_splitmix64() -> None:
    """The first outputs for seed 1234567, as published with the reference implementation."""
    states = 1234567 + _GOLDEN * torch.arange(1, 4)
    outputs = [int(value) % 2**64 for value in _mix(states)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_sample_does_not_know_of_its_batch() -> None:
    many, few = Draws(7, torch.arange(50)), Draws(7, torch.tensor([40, 3]))
    for shape in ((), (2,), (3, 4)):
        assert torch.equal(many.uniform(*shape)[[40, 3]], few.uniform(*shape))
        assert torch.equal(many.normal(*shape)[[40, 3]], few.normal(*shape))
    rest = many.of(torch.tensor([3]), "cpu")
    assert torch.equal(rest.uniform(5), many.uniform(5)[[3]])


def test_seeds_samples_and_places_all_matter() -> None:
    draws = Draws(1, torch.arange(1000))
    first, second = draws.uniform(), draws.uniform()
    other = Draws(2, torch.arange(1000)).uniform()
    assert len(torch.unique(torch.cat((first, second, other)))) > 2990
    for a, b in ((first, second), (first, other), (first[1:], first[:-1])):
        assert abs(torch.corrcoef(torch.stack((a, b)))[0, 1].item()) < 0.12


def test_distributions() -> None:
    draws = Draws(3, torch.arange(4))
    uniform, normal = draws.uniform(50_000), draws.normal(50_000)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.005)
    assert uniform.std().item() == pytest.approx(12**-0.5, abs=0.005)
    assert normal.mean().item() == pytest.approx(0, abs=0.01)
    assert normal.std().item() == pytest.approx(1, abs=0.01)
    counts = torch.bincount(Draws(3, torch.arange(4000)).below(4))
    assert len(counts) == 4 and counts.min() > 900


def test_generators_depend_on_all_numbers() -> None:
    drawn = {torch.rand(1, generator=generator_for(*n)).item() for n in ((1, 2), (2, 1), (1, 2, 3))}
    assert len(drawn) == 3
