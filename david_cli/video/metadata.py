"""What a file says about itself, and when two files say the same: muxers write some values anew."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import zip_longest

_COORDINATE = re.compile(r"[+-]\d+(?:\.\d+)?")
_DEGREES = 1e-4  # FFmpeg prints positions in MP4 with four decimals: 11 m on the ground
_SECOND = timedelta(seconds=1)  # MP4 and MOV count whole ones
_STALE = (  # what describes the old file's bytes, not its content
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "duration",
    "bps",
    "number_of_",
    "_statistics_",
    "alpha_mode",
    "rotate",
)


def lasting(metadata: dict[str, str]) -> dict[str, str]:
    """Entries that are as true of the result as of the source."""
    return {key: text for key, text in metadata.items() if not key.lower().startswith(_STALE)}


def missing(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """Keys whose text did not come over in meaning, sorted; containers change the case of keys."""
    found = {key.lower(): text for key, text in after.items()}
    return tuple(
        sorted(key for key, text in before.items() if not same(key, text, found.get(key.lower())))
    )


def same(key: str, before: str, after: str | None) -> bool:
    """Whether two texts mean the same: moments to the second, positions to four decimals."""
    if after is None or before == after:
        return before == after
    if key.lower() == "creation_time":
        return _same_moment(before, after)
    return key.lower().startswith("location") and _same_place(before, after)


def _same_moment(before: str, after: str) -> bool:
    a, b = _moment(before), _moment(after)
    return a is not None and b is not None and abs(a - b) < _SECOND


def _moment(text: str) -> datetime | None:
    """ISO 8601; without a zone it is UTC, as FFmpeg takes it."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _same_place(before: str, after: str) -> bool:
    """ISO 6709, e.g. ``+37.3318-122.0312+5.5/``: latitude, longitude and perhaps height."""
    places = [[float(number) for number in _COORDINATE.findall(text)] for text in (before, after)]
    pairs = list(zip_longest(*places, fillvalue=0.0))  # a height left out is 0
    return len(pairs) >= 2 and all(abs(a - b) <= _DEGREES for a, b in pairs)
