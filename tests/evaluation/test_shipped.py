"""The shipped weights do what the README says of them, on the clip that comes with it."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

import pytest

from david_cli.evaluation.pairs import ClipScore, find_clips, score_clip
from david_cli.inference.loading import load_deblurrer
from david_cli.network.build import count_gmacs
from david_cli.network.shipped import AUTO, shipped_files
from david_cli.network.weights import read_info

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
def test_david_gains_what_the_readme_says_at_every_level(level: int) -> None:
    assert measured("david", level).gain == pytest.approx(promised("david")[level], abs=0.02)


@pytest.mark.weights
def test_auto_is_the_cheapest_model_within_a_tenth_of_the_best() -> None:
    """By what `david eval --record` wrote into the files: the mean gain of levels 7, 11 and 15."""

    def gain(path: Path) -> float:
        figures = read_info(path).gain
        return fmean(figures[str(level)] for level in LEVELS if level > 3)

    gains = {path: gain(path) for path in shipped_files()}
    good = [path for path in gains if gains[path] >= max(gains.values()) - 0.1]
    assert min(good, key=lambda path: count_gmacs(read_info(path).config)).stem == AUTO
    assert load_deblurrer(device="cpu").name == AUTO
