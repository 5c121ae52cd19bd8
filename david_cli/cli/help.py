"""How `--help` reads: Typer's pages in words for people, on light and on dark terminals.

A command's docstring is its page. What stands under ``[bold]Examples[/bold]`` goes to the end of
it, where it is still on the screen when the prompt returns.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, TypedDict

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

EXAMPLES = "[bold]Examples[/bold]"
FURTHER = (
    "Every option can also stand in david.toml or in a variable: see david config --help. "
    "Exit codes: see david --help."
)
"""The last words of the page of a command whose options can be configured."""
PLAIN_STYLES = {
    "STYLE_HELPTEXT": "",  # dim grey is hard to read on white
    "STYLE_OPTION": "bold",
    "STYLE_SWITCH": "bold",
    "STYLE_TYPES": "",
    "STYLE_TYPES_SEPARATOR": "",
    "STYLE_USAGE": "bold",
    "STYLE_COMMANDS_TABLE_FIRST_COLUMN": "bold",
    "STYLE_REQUIRED_LONG": "red",
    "STYLE_OPTION_DEFAULT": "",
}
"""Typer's yellow and cyan cannot be read on white: weight instead, and red for what is required."""


class HelpfulCommand(TyperCommand):
    """A command whose page follows the rules of this module."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [param for param in self.params if isinstance(param, TyperArgument)]
        return ["[OPTIONS]", *(_in_usage(argument) for argument in arguments)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        dress(self.get_params(ctx))
        super().format_help(ctx, formatter)


class HelpfulGroup(TyperGroup):
    """The same for a command that has commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        dress(self.get_params(ctx))
        super().format_help(ctx, formatter)


class Page(TypedDict):
    """What Typer takes of it."""

    help: str
    epilog: str


def page(docstring: str | None, further: str = FURTHER) -> Page:
    """A docstring as Typer's ``help`` and ``epilog``."""
    text, _, examples = inspect.cleandoc(docstring or "").partition(EXAMPLES)
    shown = f"{EXAMPLES}{examples.rstrip()}\n\n" if examples else ""
    return {"help": prose(text), "epilog": f"{shown}{further}\n"}


def prose(text: str) -> str:
    """Paragraphs on one line each, for the terminal to wrap; indented lines stay as they are."""
    paragraphs = inspect.cleandoc(text).strip().split("\n\n")
    return "\n\n".join(re.sub(r"\n(?! )", " ", paragraph) for paragraph in paragraphs)


def dress(params: Iterable[object]) -> None:
    """Give Typer's renderer our styles, and no names of Python's types: a flag has no value."""
    from typer import rich_utils

    for name, style in PLAIN_STYLES.items():
        setattr(rich_utils, name, style)
    for param in params:
        if isinstance(param, TyperArgument):
            param.display_type_rich = _no_type  # type: ignore[method-assign]
        elif isinstance(param, TyperOption) and param.metavar is None:
            is_number = param.type_descriptor.annotation in (int, float)
            param.metavar = "" if param.is_flag else "N" if is_number else None


def _no_type(ctx: Any) -> str | None:
    return None


def _in_usage(argument: TyperArgument) -> str:
    """``IN``, ``[FILE...]``: what may be left out in brackets."""
    name = argument.display_name_raw
    name += "" if argument.nargs == 1 or name.endswith("...") else "..."
    return name if argument.required or name.startswith("[") else f"[{name}]"
