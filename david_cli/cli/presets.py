"""Named presets: a few options under one word, for ``--preset``.

A preset says only what it is about. What it leaves open stays with the files and the defaults, so
that a project's codec is delivered at any speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from david_cli.cli.config_words import Value, suggestion
from david_cli.errors import UsageError

PRESETS: dict[str, dict[str, Value]] = {
    # the smaller network, and an encoder in hardware where a trial shows one
    "fast": {"model": "david-lite", "encoder": "auto"},
    # what david does by itself; says so above a file that says otherwise
    "balanced": {"model": "auto", "precision": "auto", "encoder": "software"},
    # the network in full precision, and an encoder that takes next to nothing away
    "best": {"model": "auto", "precision": "fp32", "encoder": "software", "crf": "12"},
    # what an archive asks for: every code of the result in an open format, and proof of the rest
    "archive": {
        "model": "auto",
        "precision": "fp32",
        "encoder": "software",
        "codec": "ffv1",
        "lossless": True,
        "verify": True,
    },
}
ABOUT = {
    "fast": "as david does by itself, with hardware encoding where it works",
    "balanced": "what david does by itself",
    "best": "the network in full precision, hardly any loss in the encoder",
    "archive": "as best, lossless FFV1, and everything else verified; name a .mkv with -o",
}
"""Each in a line."""
SPEEDS = ("ultrafast", "superfast", "veryfast", "faster", "medium", "slow", "slower", "veryslow")
"""The words of x264 and x265, which people know as presets from other programs."""


def preset_values(
    name: str, own: Mapping[str, Mapping[str, Value]], origin: str
) -> Mapping[str, Value]:
    """The options of a preset.

    Args:
        name: as it was asked for.
        own: the user's presets.
        origin: what asked for it, for the error.

    Raises:
        UsageError: there is none of that name.
    """
    known: dict[str, Mapping[str, Value]] = {**PRESETS, **own}
    if name in known:
        return known[name]
    if name in SPEEDS or name.isdigit():
        raise UsageError(
            f"{origin}: {name!r} is a speed of the encoder: that is --encoder-preset {name}; "
            f"david's presets are {listed(known)}"
        )
    raise UsageError(
        f"{origin}: no preset is called {name!r}; there are {listed(known)}; "
        f"{suggestion(name, known)}"
    )


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}"
