"""Random numbers that depend on numbers alone: the seed and which sample, video or frame it is.

Two forms: a torch generator for one sample at a time, and ``Draws`` for a whole batch of samples at
once, in which every sample has its own stream whatever batch it is in.
"""

from __future__ import annotations

import math
from copy import copy

import numpy as np
import torch
from torch import Tensor


def generator_for(*numbers: int) -> torch.Generator:
    """A CPU generator seeded by all the numbers together; zeros at the end do not count."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> 1))


def draw(n: int, g: torch.Generator) -> int:
    """A whole number from 0 to n - 1."""
    return int(torch.randint(n, (1,), generator=g).item())


def happens(share: float, g: torch.Generator) -> bool:
    """True with probability ``share``."""
    return torch.rand(1, generator=g).item() < share


class Draws:
    """A stream of random numbers for every sample of a batch, on the device of ``indices``.

    Number j of sample k is SplitMix64 (Steele, Lea & Flood 2014) at place j of a stream that starts
    at a hash of (seed, k): no state has to be stored, and no sample knows of the others.
    """

    def __init__(self, seed: int, indices: Tensor) -> None:
        """``indices``: (B,) int64, the numbers k of the samples."""
        start = torch.tensor(seed, dtype=torch.int64, device=indices.device)
        self._key = _mix(_mix(start + _GOLDEN) + indices)  # (B,)
        self._place = 0

    def of(self, rows: Tensor, device: torch.device | str) -> Draws:
        """The streams of some samples of the batch, from where they are now, on a device."""
        part = copy(self)
        part._key = self._key[rows].to(device)
        return part

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) float32 in [0, 1)."""
        n = math.prod(shape)
        places = torch.arange(self._place + 1, self._place + n + 1, device=self._key.device)
        self._place += n
        bits = _mix(self._key[:, None] + places * _GOLDEN)  # (B, n)
        return (_shifted(bits, 40).float() / 2**24).reshape(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32 of mean 0 and standard deviation 1 (Box & Muller 1958)."""
        radius = (-2 * torch.log1p(-self.uniform(*shape))).sqrt()
        return radius * (2 * math.pi * self.uniform(*shape)).cos()

    def below(self, n: int) -> Tensor:
        """(B,) int64 from 0 to n - 1."""
        return (self.uniform() * n).long()


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser; int64 products wrap around as unsigned ones would."""
    z = (z ^ _shifted(z, 30)) * _MIX[0]
    z = (z ^ _shifted(z, 27)) * _MIX[1]
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """A logical shift to the right: the sign bit moves like any other."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
