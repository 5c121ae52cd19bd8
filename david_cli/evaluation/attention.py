"""What attention is worth: mean weights by blur level, and dB lost where maps are uniform.

Attention has degenerated where it could as well be left out: where one module does everything, or
where equal weights at every pixel give the same quality. `measure_attention` gives the figures of
one clip whose sharp truth is known, `attention_tables` their means, `judge` what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from statistics import fmean

import torch
from torch import Tensor

from david_cli.evaluation.explain import Explainer, Explanation, branch_names, module_names
from david_cli.evaluation.pairs import MARGIN, PairedClip, by_level, read_picture, round_to_8_bits
from david_cli.evaluation.render import Column, Table
from david_cli.evaluation.tables import level_name
from david_cli.inference.window import sliding_windows
from david_cli.metrics import psnr
from david_cli.network.david import DavidConfig

LEAST_SHARE = 0.1
"""Mean weight from which on a module carries something; at least two must."""
LEAST_COST = 0.1
"""Mean dB that even maps must cost, or the attention that they replace does nothing."""


@dataclass(frozen=True)
class ClipAttention:
    """Means over the measured frames of one clip at one blur level."""

    clip: str
    level: int | None
    psnr: float
    """Of the result, dB."""
    external: tuple[float, ...]
    """Mean weight of each module; empty where there is one."""
    internal: tuple[tuple[float, ...], ...]
    """Mean weight of each branch of each module; empty where they have one."""
    external_cost: float
    """dB lost by even external maps."""
    internal_cost: float
    """dB lost by even internal maps."""


@dataclass(frozen=True)
class Check:
    """One condition of working attention, and whether it holds."""

    text: str
    holds: bool | None
    """None where it could not be judged."""


def measure_attention(
    clip: PairedClip, explainer: Explainer, *, margin: int = MARGIN
) -> ClipAttention:
    """Mean weights over a clip, and what they gain, by the protocol of `pairs`.

    Args:
        clip: one clip at one level; the whole of it is input.
        explainer: whose attention.
        margin: unmeasured frames at either end; none where a clip has no others.
    """
    measured = clip.measured(margin)
    frames = map(read_picture, clip.blurry)
    windows = sliding_windows(frames, radius=explainer.config.frames // 2)
    rows = [
        _measure_frame(explainer(torch.stack(window)), read_picture(clip.sharp[i]))
        for i, window in zip(measured, islice(windows, measured.start, None), strict=False)
    ]
    quality, external_cost, internal_cost, *weights = (fmean(c) for c in zip(*rows, strict=True))
    modules, branches = explainer.config.modules, len(explainer.config.branches)
    external = tuple(weights[:modules]) if modules > 1 else ()
    each = weights[len(external) :]
    internal = tuple(tuple(each[i : i + branches]) for i in range(0, len(each), branches))
    return ClipAttention(
        clip.name, clip.level, quality, external, internal, external_cost, internal_cost
    )


def _measure_frame(seen: Explanation, truth: Tensor) -> list[float]:
    """PSNR of the result, dB lost by even external and internal maps, then all mean weights."""
    quality, external, internal = (
        psnr(round_to_8_bits(picture), truth)
        for picture in (seen.result, seen.even_external, seen.even_internal)
    )
    maps = [m for m in (seen.external, *seen.internal) if m is not None]
    weights = [float(weight.mean()) for group in maps for weight in group]
    return [quality, quality - external, quality - internal, *weights]


def judge(clips: Sequence[ClipAttention], config: DavidConfig) -> list[Check]:
    """Whether attention works; it has degenerated where one of these does not hold.

    External maps: at least two modules carry a tenth, the module of the heaviest blur weighs more
    where blur is heavier, even maps cost something. Internal maps: even ones cost something. What
    blur does is told by the clips that are there both at the lightest and at the heaviest level;
    without such a clip it is not judged.
    """
    external, internal = _means(clips, lambda clip: (clip.external_cost, clip.internal_cost))
    checks = _external_checks(clips, module_names(config)) if config.modules > 1 else []
    if config.modules > 1:
        checks.append(_cost_check("external", external))
    if len(config.branches) > 1:
        checks.append(_cost_check("internal", internal))
    return checks


def is_degenerate(checks: Sequence[Check]) -> bool | None:
    """What the checks say together; None where none fails, but not all could be judged."""
    found = {check.holds for check in checks}
    return True if False in found else None if None in found else False


def _external_checks(clips: Sequence[ClipAttention], names: Sequence[str]) -> list[Check]:
    shares = _means(clips, lambda clip: clip.external)
    carrying = sum(share >= LEAST_SHARE for share in shares)
    text = f"{carrying} of {len(names)} modules carry {LEAST_SHARE:.0%} or more (at least 2)"
    return [Check(text, carrying >= 2), _rise_check(clips, names[-1])]


def _rise_check(clips: Sequence[ClipAttention], heaviest: str) -> Check:
    """Whether the module of the heaviest blur weighs more where the same clips are more blurred."""
    levels = sorted({clip.level for clip in clips if clip.level is not None})
    ends = [
        {c.clip: c.external[-1] for c in clips if c.level == n} for n in levels[:1] + levels[-1:]
    ]
    both = [name for name in ends[0] if name in ends[1]] if len(levels) > 1 else []
    if not both:
        return Check(
            f"{heaviest} weighs more where blur is heavier (needs clips at two levels)", None
        )
    before, after = (fmean(end[name] for name in both) for end in ends)
    text = f"{heaviest} weighs {before:.3f} at level {levels[0]}, {after:.3f} at level {levels[-1]}"
    return Check(f"{text} (more)", after > before)


def _cost_check(maps: str, cost: float) -> Check:
    return Check(f"even {maps} maps cost {cost:.2f} dB (at least {LEAST_COST})", cost >= LEAST_COST)


def attention_tables(clips: Sequence[ClipAttention], config: DavidConfig) -> dict[str, Table]:
    """Means by blur level and over all clips and levels: ``external``, ``internal``, ``cost``."""
    modules, branches = module_names(config), branch_names(config)
    tables = {}
    if config.modules > 1:
        tables["external"] = _table("mean external weight", modules, clips, lambda c: c.external)
    if len(branches) > 1:
        names = [f"{module}: {branch}" for module in modules for branch in branches]
        tables["internal"] = _table(
            "mean internal weight", names, clips, lambda c: tuple(chain(*c.internal))
        )
    tables["cost"] = _table(
        "dB that even maps cost",
        ("external", "internal"),
        clips,
        lambda clip: (clip.external_cost, clip.internal_cost),
        form="{:+.2f}",
    )
    return tables


def _table(
    head: str,
    names: Sequence[str],
    clips: Sequence[ClipAttention],
    values: Callable[[ClipAttention], Sequence[float]],
    form: str = "{:.3f}",
) -> Table:
    levels = _by_level(clips)
    columns = [Column(level_name(level), form=form) for level, _ in levels]
    means = [_means(group, values) for group in (*(group for _, group in levels), clips)]
    rows = tuple(zip(names, *means, strict=True))
    return Table((Column(head), *columns, Column("mean", form=form)), rows)


def _by_level(clips: Sequence[ClipAttention]) -> list[tuple[int | None, list[ClipAttention]]]:
    levels = sorted({clip.level for clip in clips}, key=by_level)
    return [(level, [clip for clip in clips if clip.level == level]) for level in levels]


def _means(
    clips: Sequence[ClipAttention], values: Callable[[ClipAttention], Sequence[float]]
) -> list[float]:
    return [fmean(column) for column in zip(*map(values, clips), strict=True)]
