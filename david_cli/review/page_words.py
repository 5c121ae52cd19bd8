"""Words and numbers of a page, made safe for it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from david_cli.review.page_plot import clock

_STAGES = {"decode": "decoding", "network": "the network", "encode": "encoding"}


def escaped(text: str) -> str:
    """Any text, for any place in the page; what cannot be seen is spelled out."""
    seen = "".join(c if c.isprintable() else " " if c == "\n" else ascii(c)[1:-1] for c in text)
    return html.escape(seen)


def listed(lines: Iterable[str]) -> str:
    """A list; empty where there are none."""
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    return f'<ul class="lines">{items}</ul>' if items else ""


def table(rows: Mapping[str, str], kind: str = "") -> str:
    """Names and values; what has no value is left out."""
    body = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>'
        f'<td class="{"hash" * name.endswith("sha256")}">{escaped(value)}</td></tr>'
        for name, value in rows.items()
        if value
    )
    return f'<table class="{kind}"><tbody>{body}</tbody></table>'


def stage(name: str) -> str:
    """A stage of a run, within a sentence."""
    return _STAGES.get(name, name)


def fps(rate: float) -> str:
    """Frames per second, with enough digits for a tenth of one and for a hundred."""
    return f"{rate:.2f} fps" if rate < 10 else f"{rate:.0f} fps"


def duration(seconds: float) -> str:
    """``12.3 s`` below a minute, else ``M:SS`` or ``H:MM:SS``."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def size(count: float) -> str:
    """E.g. ``1.2 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
