"""Did it help? Numbers on frames that were never trained on, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

NOTICEABLE = 0.05
"""dB below which a difference is none."""
LIGHT_LOSS = 0.1
"""dB that may be lost at the lightest blur: there a video is nearly sharp."""


@dataclass(frozen=True)
class Verdict:
    """Gain in PSNR over the blurry input by blur level, of both weights, on held-out frames."""

    model: str
    """What was fine-tuned."""
    weights: Path
    """What came of it."""
    before: Mapping[int, float]
    after: Mapping[int, float]
    clips: int
    frames: int
    """Measured, at each level."""

    @property
    def change(self) -> float:
        """Mean over levels in dB; above 0 is better."""
        return mean(self.after.values()) - mean(self.before.values())

    @property
    def is_worse(self) -> bool:
        return self.change < -NOTICEABLE

    def advice(self) -> list[str]:
        """In plain words: use it or not, and what could help."""
        if self.is_worse:
            lines = [
                f"the fine-tuned weights are WORSE than {self.model} on frames they have not seen, "
                f"by {-self.change:.2f} dB: keep {self.model}; if you try again, give sharper and "
                "more varied footage, or more minutes"
            ]
        elif self.change < NOTICEABLE:
            lines = [
                f"no difference to {self.model} on frames they have not seen ({self.change:+.2f} "
                "dB): more minutes or more footage may help"
            ]
        else:
            lines = [
                f"better than {self.model} on frames they have not seen, by {self.change:.2f} dB; "
                f"use them: david deblur IN --model {self.weights}"
            ]
        lightest = min(self.before)
        lost = self.before[lightest] - self.after[lightest]
        if not self.is_worse and lost > LIGHT_LOSS:
            lines.append(
                f"nearly sharp frames (level {lightest}) lose {lost:.2f} dB against {self.model}: "
                "where footage is nearly sharp, keep that, or use --strength 0.5"
            )
        level = min(self.after, key=lambda level: self.after[level])
        if self.after[level] < -LIGHT_LOSS:
            lines.append(
                f"at level {level} they leave frames {-self.after[level]:.2f} dB worse than "
                "untouched: such numbers come of footage that is not sharp itself; give sharper "
                "footage, and look at the picture"
            )
        return lines

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "model": self.model,
            "weights": str(self.weights),
            "before": {str(level): round(gain, 4) for level, gain in self.before.items()},
            "after": {str(level): round(gain, 4) for level, gain in self.after.items()},
            "change": round(self.change, 4),
            "clips": self.clips,
            "frames": self.frames,
            "advice": self.advice(),
        }
