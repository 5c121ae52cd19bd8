"""What is said of numbers before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from david_cli.tuning.verdict import Verdict


def verdict(light: float, heavy: float) -> Verdict:
    """The change at the lightest and at a heavier level."""
    before = {3: 0.2, 11: 1.0}
    after = {3: 0.2 + light, 11: 1.0 + heavy}
    return Verdict("david-lite", Path("mine.safetensors"), before, after, clips=2, frames=16)


@pytest.mark.parametrize(
    ("light", "heavy", "words"),
    [
        (0.1, 0.5, ["better than david-lite on frames they have not seen, by 0.30 dB"]),
        (-0.3, 0.7, ["better", "nearly sharp frames (level 3) lose 0.30 dB"]),
        (0.0, 0.02, ["no difference to david-lite"]),
        (-0.3, -0.1, ["WORSE than david-lite on frames they have not seen, by 0.20 dB: keep"]),
    ],
)
def test_the_advice_says_it_plainly(light: float, heavy: float, words: list[str]) -> None:
    lines = verdict(light, heavy).advice()
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))
    assert verdict(light, heavy).is_worse == (light + heavy < 0)


def test_what_is_better_can_be_used_as_it_is_printed() -> None:
    assert verdict(0.1, 0.5).advice()[0].endswith("david deblur IN --model mine.safetensors")


def test_what_leaves_frames_worse_than_untouched_is_not_simply_better() -> None:
    """Footage that is not sharp itself: less harm than before is harm all the same."""
    before, after = {3: -18.8, 11: 3.7}, {3: -11.6, 11: 4.4}
    found = Verdict("david-lite", Path("mine.safetensors"), before, after, clips=1, frames=7)
    better, harm = found.advice()
    assert better.startswith("better than david-lite")
    assert "level 3" in harm and "11.60 dB" in harm and "sharp" in harm
