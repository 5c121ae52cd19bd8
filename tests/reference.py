"""docs/reference.md, written from the commands themselves: ``python -m tests.reference``.

The screens of tests/cli/screens.py are written with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from david_cli.cli.app import app
from david_cli.cli.help import EXAMPLES, dress
from tests.cli import screens

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
INTRODUCTION = """\
# Every command and option

This page is written from the commands themselves (`python -m tests.reference`), and
`david COMMAND --help` says the same. Every option can also stand in `david.toml` or in a variable
([configuration.md](configuration.md)): `DAVID_DEBLUR_CRF` is `david deblur --crf`. The
[exit codes](../README.md#exit-codes) are in the README.
"""


def reference() -> str:
    """The whole page."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    context = typer.Context(group, info_name="david")
    commands = dict(_commands(group, context))
    parts = [INTRODUCTION, "\n".join(_contents(commands)) + "\n"]
    parts += ["\n".join(_section(command, ctx)) for command, ctx in commands.values()]
    return "\n".join(parts)


def _commands(
    group: TyperGroup, context: typer.Context
) -> Iterator[tuple[str, tuple[TyperCommand, typer.Context]]]:
    """All that can be run, by their whole names; a group stands before what is in it."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        own = typer.Context(command, info_name=name, parent=context)
        assert isinstance(command, TyperCommand | TyperGroup)
        yield own.command_path, (command, own)  # type: ignore[misc]
        if isinstance(command, TyperGroup):
            yield from _commands(command, own)


def _contents(commands: dict[str, tuple[TyperCommand, typer.Context]]) -> Iterator[str]:
    panel = ""
    for name, (command, _) in commands.items():
        if command.rich_help_panel and command.rich_help_panel != panel:
            panel = command.rich_help_panel
            yield f"\n{panel}:\n"
        first = (command.help or "").partition("\n")[0]
        yield f"- [{name}](#{name.replace(' ', '-')}): {markdown(first)}"


def _section(command: TyperCommand, context: typer.Context) -> Iterator[str]:
    dress(command.get_params(context))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"## {context.command_path}\n\n```text\n{usage}\n```\n"
    yield f"{markdown(command.help or '')}\n"
    panels: dict[str, list[str]] = {"Arguments": []}  # first, as in --help
    for param in command.params:
        if isinstance(param, TyperOption | TyperArgument) and not param.hidden:
            default = "Arguments" if isinstance(param, TyperArgument) else "Options"
            panels.setdefault(param.rich_help_panel or default, []).append(_row(param, context))
    for panel, rows in panels.items():
        if not rows:
            continue
        yield f"| {panel} | |\n|---|---|\n" + "\n".join(rows) + "\n"
    examples = (command.epilog or "").partition(EXAMPLES)[2].partition("\n\n")[0]
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    if lines:
        yield "```bash\n" + "\n".join(lines) + "\n```\n"


def _row(param: TyperOption | TyperArgument, context: typer.Context) -> str:
    if isinstance(param, TyperArgument):
        name = f"`{param.display_name_raw}`"
    else:
        value = "" if param.is_flag else (param.metavar or param.display_type(context).strip("<>"))
        name = ", ".join(f"`{option}`" for option in param.opts)
        name += f" `{value}`" if value else ""
    return f"| {name.replace('|', chr(92) + '|')} | {_what(param)} |"


def _what(param: TyperOption | TyperArgument) -> str:
    text = markdown(" ".join((param.help or "").split())).replace("|", "\\|")
    extra = []
    if param.required and isinstance(param, TyperOption):
        extra.append("Required.")
    if param.min is not None or param.max is not None:
        ends = [f"at least {param.min}"] if param.min is not None else []
        ends += [f"at most {param.max}"] if param.max is not None else []
        extra.append(f"{', '.join(ends).capitalize()}.")
    if param.show_default and param.default not in (None, False, [], ()):
        extra.append(f"Default: `{param.default}`.")
    return " ".join([text, *extra])


def markdown(text: str) -> str:
    """Rich's markup as Markdown's, with what Markdown would take for its own made plain."""
    text = re.sub(r"\[/?bold\]", "`", text).replace("\\[", "[")
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<>*_])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    screens.write()
