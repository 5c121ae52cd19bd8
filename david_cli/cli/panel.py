"""A live panel at the foot of the terminal: what the views of long work have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from david_cli.cli.progress import View
from david_cli.cli.wording import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

REFRESHES = 4
"""Of the panel, a second."""


class PanelView(View, ABC):
    """Draws its `renderable` below the lines that are printed; gone when it closes."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        from rich.live import Live

        super().__init__(quiet=quiet, verbose=verbose)
        self._live = Live(
            get_renderable=self.renderable,
            console=self.console,
            transient=True,
            refresh_per_second=REFRESHES,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        self._live.stop()

    @abstractmethod
    def renderable(self) -> RenderableType:
        """What is on the screen now."""


def plain_text(line: str, style: str = "") -> Text:
    """A line as it is: brackets in a file's name are no markup."""
    from rich.text import Text

    return Text(one_line(line), style=style)
