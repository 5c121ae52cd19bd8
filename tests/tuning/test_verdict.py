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
