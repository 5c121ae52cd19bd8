"""HDR codes <-> the range the network learned from: an invertible curve for each PQ and HLG.

The network saw standard dynamic range, where white is 1. PQ (SMPTE ST 2084) puts 1000 cd/m2 at
0.75 and keeps the rest for highlights, so its contrasts are smaller than anything learned from:
they are stretched until 1000 cd/m2 is 1. HLG (ARIB STD-B67) squeezes bright parts logarithmically
and dark ones by a square root; it is turned into PQ of a 1000 cd/m2 display, then stretched the
same way. Measured in docs/fidelity.md; any curve would do for strength 0, as only the change that
the network makes is brought back.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273."""
PEAK = 1000.0
"""cd/m2 that the network sees as 1; also the nominal display of HLG (BT.2100, table 5)."""

# ITU-R BT.2100-2, table 4 (PQ) and table 5 (HLG)
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_TOP = 10000.0  # cd/m2 of PQ's highest code
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_POWER: float = (PEAK / _PQ_TOP) ** _M1
_PEAK_CODE: float = ((_C1 + _C2 * _POWER) / (1 + _C3 * _POWER)) ** _M2
_BLACK_CODE: float = _C1**_M2


def to_learned_range(rgb: Tensor, transfer: int) -> Tensor:
    """R'G'B' of a source as the network should see it.

    Args:
        rgb: any shape, nominally [0, 1], not clipped.
        transfer: code of ITU-T H.273; all but PQ and HLG give ``rgb`` itself.
    """
    if transfer == PQ:
        return rgb / _PEAK_CODE
    if transfer == HLG:
        return _signed(rgb, lambda code: _pq(_hlg_light(code)) / _PEAK_CODE)
    return rgb


def change_in_source(output: Tensor, seen: Tensor, transfer: int) -> Tensor:
    """What the network changed, in the source's own R'G'B'; exactly 0 where it changed nothing.

    Args:
        output: the network's result in the learned range.
        seen: what ``to_learned_range`` gave it.
    """
    if transfer == PQ:
        return (output - seen) * _PEAK_CODE
    if transfer == HLG:
        return _hlg(output) - _hlg(seen)
    return output - seen


def _hlg(seen: Tensor) -> Tensor:
    """HLG codes of values in the learned range."""
    return _signed(seen, lambda value: _hlg_code(_pq_light(value * _PEAK_CODE)))


def _signed(values: Tensor, curve: Callable[[Tensor], Tensor]) -> Tensor:
    """A curve for values from 0 on, mirrored for those below, which legal codes can give."""
    return torch.copysign(curve(values.abs()), values)


def _pq(light: Tensor) -> Tensor:
    """Light as a part of ``PEAK`` -> PQ code, from 0 at no light."""
    power = torch.pow(light * (PEAK / _PQ_TOP), _M1)
    return torch.pow((_C1 + _C2 * power) / (1 + _C3 * power), _M2) - _BLACK_CODE


def _pq_light(code: Tensor) -> Tensor:
    """The way back; codes beyond PQ's highest stay there."""
    power = torch.pow((code + _BLACK_CODE).clamp_max(1), 1 / _M2)
    ratio = (power - _C1).clamp_min(0) / (_C2 - _C3 * power)
    return torch.pow(ratio, 1 / _M1) * (_PQ_TOP / PEAK)


def _hlg_code(light: Tensor) -> Tensor:
    above = _A * torch.log((12 * light - _B).clamp_min(1 - _B)) + _C
    return torch.where(light <= 1 / 12, (3 * light).sqrt(), above)


def _hlg_light(code: Tensor) -> Tensor:
    return torch.where(code <= 0.5, code * code / 3, (torch.exp((code - _C) / _A) + _B) / 12)
