"""The first Ctrl-C asks a long run to finish what is in hand; the second stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody pressed Ctrl-C."""

    def __init__(self) -> None:
        self._asked = self._told = False

    def ask(self) -> None:
        """Remember it."""
        self._asked = True

    def __call__(self) -> bool:
        return self._asked

    @property
    def is_news(self) -> bool:
        """True once, after somebody asked."""
        news = self._asked and not self._told
        self._told = self._asked
        return news


@contextmanager
def first_ctrl_c_asks() -> Iterator[Stop]:
    """Catch the first SIGINT; the next one, and all other signals, do what they did before."""
    stop = Stop()
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.ask()
        signal.signal(signal.SIGINT, before)

    is_ours = threading.current_thread() is threading.main_thread() and callable(before)
    if is_ours:
        signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, before)
