"""The colours of messages, bars and tables: few, and none that says what words do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.theme import Theme

COLORS = {
    "bar.back": "bright_black",
    "bar.complete": "magenta",
    "bar.finished": "magenta",
    "bar.pulse": "magenta",
    "progress.remaining": "",
    "error": "bold red",
    "warning": "bold magenta",
    "failed": "bold red",
    "skipped": "dim",
    "done": "",
}
"""Of the terminal's own palette, those that can be read on black and on white; yellow, green and
cyan cannot."""


def theme() -> Theme:
    """`COLORS`, for Rich, which is imported here and not for ``--help``."""
    from rich.theme import Theme

    return Theme(COLORS)
