"""Samples of a source <-> the range the network learned from: one invertible curve per transfer.

The network saw standard dynamic range, where white is 1.

- PQ (SMPTE ST 2084) puts 1000 cd/m2 at 0.75 and keeps the rest for highlights, so its contrasts
  are smaller than anything learned from: they are stretched until 1000 cd/m2 is 1.
- HLG (ARIB STD-B67) squeezes bright parts logarithmically and dark ones by a square root; it is
  turned into PQ of a 1000 cd/m2 display, then stretched the same way.
- Linear light, of which a scene can have any amount, gets sRGB's curve up to its white, and above
  that a logarithm that goes on with the same slope: eight times white is seen as 1.9.
- Film scans hold printing densities (Kodak, Cineon); they are turned into light, then as above.

Measured in docs/fidelity.md and docs/pictures.md; any curve would do for strength 0, as only the
change that the network makes is brought back. Only methods of tensors are used, so that who needs
no more than the codes does not wait for torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

UNSPECIFIED, LINEAR, PQ, HLG = 2, 8, 16, 18
"""Transfer characteristics of ITU-T H.273."""
CINEON = 256
"""Printing density of film; H.273, whose codes end at 255, has none for it."""
PEAK = 1000.0
"""cd/m2 that the network sees as 1; also the nominal display of HLG (BT.2100, table 5)."""
HDR_WHITE = 203.0
"""cd/m2 of a white sheet of paper in HDR (ITU-R BT.2408)."""

# ITU-R BT.2100-2, table 4 (PQ) and table 5 (HLG)
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_TOP = 10000.0  # cd/m2 of PQ's highest code
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_POWER: float = (PEAK / _PQ_TOP) ** _M1
_PEAK_CODE: float = ((_C1 + _C2 * _POWER) / (1 + _C3 * _POWER)) ** _M2
_BLACK_CODE: float = _C1**_M2

# IEC 61966-2-1 (sRGB), its two parts joined where value and slope of both are the same
_GAMMA, _OFFSET = 2.4, 0.055
_JOINT_CODE = _OFFSET / (_GAMMA - 1)
_JOINT_LIGHT: float = ((_JOINT_CODE + _OFFSET) / (1 + _OFFSET)) ** _GAMMA
_SLOPE = _JOINT_CODE / _JOINT_LIGHT  # 12.92 in the standard's rounding
_WHITE_SLOPE = (1 + _OFFSET) / _GAMMA  # of sRGB at 1; the logarithm's from there on
_TOP = 1 + _WHITE_SLOPE * math.log(3e38)  # what float32 holds, seen

# Kodak, "Conversion of 10-bit log film data to 8-bit linear or video data" (1995): codes of 10
# bits, 0.002 density each, film gamma 0.6
_DECADES = 1023 * 0.002 / 0.6  # of light, from the lowest code to the highest
_FILM_WHITE, _FILM_BLACK = 685 / 1023, 95 / 1023
_FILM_BASE: float = 10 ** ((_FILM_BLACK - _FILM_WHITE) * _DECADES)  # light at the black code
_FILM_LEAST: float = 10 ** (-_FILM_WHITE * _DECADES)  # light at code 0


def to_learned_range(rgb: Tensor, transfer: int) -> Tensor:
    """R'G'B' of a source as the network should see it.

    Args:
        rgb: any shape, finite, nominally [0, 1], not clipped.
        transfer: one of the codes above; all others give ``rgb`` itself.
    """
    if transfer == PQ:
        return rgb / _PEAK_CODE
    if transfer == HLG:
        return _signed(rgb, lambda code: _pq(_hlg_light(code)) / _PEAK_CODE)
    if transfer == LINEAR:
        return _signed(rgb, _scene)
    if transfer == CINEON:
        return _signed(_film_light(rgb), _scene)
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
    if transfer == LINEAR:
        return _signed(output, _scene_light) - _signed(seen, _scene_light)
    if transfer == CINEON:
        return _film(output) - _film(seen)
    return output - seen


def to_screen_light(rgb: Tensor, transfer: int) -> Tensor:
    """R'G'B' of PQ or HLG as light, from 0 on; 1 is `HDR_WHITE`."""
    code = rgb.clamp_min(0)
    light = _pq_light(code) if transfer == PQ else _hlg_light(code)
    return light * (PEAK / HDR_WHITE)


def _hlg(seen: Tensor) -> Tensor:
    """HLG codes of values in the learned range."""
    return _signed(seen, lambda value: _hlg_code(_pq_light(value * _PEAK_CODE)))


def _signed(values: Tensor, curve: Callable[[Tensor], Tensor]) -> Tensor:
    """A curve for values from 0 on, mirrored for those below, which legal codes can give."""
    return curve(values.abs()).copysign(values)


def _pq(light: Tensor) -> Tensor:
    """Light as a part of ``PEAK`` -> PQ code, from 0 at no light."""
    power = (light * (PEAK / _PQ_TOP)).pow(_M1)
    return ((_C1 + _C2 * power) / (1 + _C3 * power)).pow(_M2) - _BLACK_CODE


def _pq_light(code: Tensor) -> Tensor:
    """The way back; codes beyond PQ's highest stay there."""
    power = (code + _BLACK_CODE).clamp_max(1).pow(1 / _M2)
    ratio = (power - _C1).clamp_min(0) / (_C2 - _C3 * power)
    return ratio.pow(1 / _M1) * (_PQ_TOP / PEAK)


def _hlg_code(light: Tensor) -> Tensor:
    above = _A * (12 * light - _B).clamp_min(1 - _B).log() + _C
    return (3 * light).sqrt().where(light <= 1 / 12, above)


def _hlg_light(code: Tensor) -> Tensor:
    above = (((code - _C) / _A).exp() + _B) / 12
    return (code * code / 3).where(code <= 0.5, above)


def _scene(light: Tensor) -> Tensor:
    """Linear light from 0 on, 1 = white -> sRGB, and beyond white 1 + 0.44 ln(light)."""
    curved = (1 + _OFFSET) * light.clamp(_JOINT_LIGHT, 1).pow(1 / _GAMMA) - _OFFSET
    beyond = _WHITE_SLOPE * light.clamp_min(1).log()
    return (light * _SLOPE).where(light <= _JOINT_LIGHT, curved + beyond)


def _scene_light(seen: Tensor) -> Tensor:
    """The way back; it ends where float32 does."""
    curved = ((seen.clamp(_JOINT_CODE, 1) + _OFFSET) / (1 + _OFFSET)).pow(_GAMMA)
    beyond = ((seen.clamp(1, _TOP) - 1) / _WHITE_SLOPE).exp()
    return (seen / _SLOPE).where(seen <= _JOINT_CODE, curved * beyond)


def _film_light(code: Tensor) -> Tensor:
    """Code in [0, 1] -> light with film black at 0 and film white at 1."""
    light = ((code - _FILM_WHITE) * (_DECADES * math.log(10))).exp()
    return (light - _FILM_BASE) / (1 - _FILM_BASE)


def _film(seen: Tensor) -> Tensor:
    """The way back; light below that of code 0 stays there."""
    light = _signed(seen, _scene_light) * (1 - _FILM_BASE) + _FILM_BASE
    return light.clamp_min(_FILM_LEAST).log10() / _DECADES + _FILM_WHITE
