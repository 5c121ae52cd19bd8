"""The shipped weights do what the README says of them, on the clip that comes with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from david_cli.evaluation.pairs import ClipScore, find_clips, score_clip
from david_cli.inference.loading import load_deblurrer

ROOT = Path(__file__).resolve().parents[2]
PAIRS = ROOT / "examples" / "pairs"
LEVELS = (3, 7, 11, 15)


def promised(model: str) -> dict[int, float]:
    """Gains in the README's table."""
    table = (ROOT / "README.md").read_text().split("<!-- table:quality -->")[1]
    row = next(line for line in table.splitlines() if line.startswith(f"| `{model}`"))
    gains = [float(cell) for cell in re.findall(r"[+-]\d+\.\d+", row)]
    return dict(zip(LEVELS, gains, strict=True))


def measured(model: str, level: int) -> ClipScore:
    deblurrer = load_deblurrer(model, device="cpu", precision="fp32")
    (clip,) = find_clips(PAIRS, [level])
    return score_clip(clip, lambda frames: deblurrer.stream(frames, is_cut=None))


@pytest.mark.weights
@pytest.mark.parametrize("level", LEVELS)
def test_david_lite_gains_what_the_readme_says(level: int) -> None:
    assert measured("david-lite", level).gain == pytest.approx(
        promised("david-lite")[level], abs=0.02
    )


@pytest.mark.weights
def test_david_gains_what_the_readme_says() -> None:
    assert measured("david", 11).gain == pytest.approx(promised("david")[11], abs=0.02)


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_david_is_at_least_as_good_as_david_lite(level: int) -> None:
    david = measured("david", level).gain
    assert david == pytest.approx(promised("david")[level], abs=0.02)
    assert david >= measured("david-lite", level).gain - 0.02
