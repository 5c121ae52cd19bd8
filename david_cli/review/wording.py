"""Times, lengths and numbers as sheets and tables of moments say them."""

from __future__ import annotations

from fractions import Fraction
from math import ceil


def clock(time: Fraction | float) -> str:
    """When a frame is shown: ``0:01.67`` or ``1:02:03.00``, as ``--at`` takes it back."""
    hundredths = ceil(time * 100)  # so that the frame is shown by then
    minutes, left = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    ahead = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{ahead}:{left // 100:02}.{left % 100:02}"


def roughly(seconds: float) -> str:
    """How long something may take, no more exact than it is: ``about 12 minutes``."""
    if seconds < 1.5:
        return "about a second"
    for unit, length, limit in (("seconds", 1.0, 90), ("minutes", 60.0, 90), ("hours", 3600.0, 48)):
        if seconds < limit * length:
            amount = seconds / length
            exact = unit == "seconds" or amount >= 10
            return f"about {amount:.0f} {unit}" if exact else f"about {amount:.2g} {unit}"
    return f"about {digits(seconds / 86400)} days"


def digits(value: float) -> str:
    """Two digits that count, and all before the point: ``0.38``, ``14``, ``680``."""
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def frames_in_words(number: int) -> str:
    """``1 frame``, ``51 frames``."""
    return "1 frame" if number == 1 else f"{number} frames"
