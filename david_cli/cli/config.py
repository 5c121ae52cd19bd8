"""`david config`: what is configured, where it is from, and where to write it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from david_cli.cli import config_files, options
from david_cli.cli.config_command import ConfigurableCommand, ConfigurableGroup, warn_of_variables
from david_cli.cli.config_layers import own_presets
from david_cli.cli.config_words import FILE_VARIABLE, Value, suggestion
from david_cli.cli.help import HelpfulCommand, HelpfulGroup, page
from david_cli.cli.presets import ABOUT, PRESETS
from david_cli.cli.wording import one_line
from david_cli.errors import UsageError

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""

HELP = """Show options that are set in files and variables, and the presets.

david.toml is read from the working directory or the nearest folder above it (the project's),
then from your settings folder (yours). Every option can stand there by its name, and in a
variable: DAVID_DEBLUR_CRF for [bold]david deblur --crf[/bold], DAVID_MODEL for all commands. A
flag wins over a variable, a variable over --preset, that over the project's file, and that over
yours. What a file has switched on, --no- takes back: --no-verify. docs/configuration.md has more.

[bold]Examples[/bold]
  david config show
  david config show deblur
  david config path
  david config presets
"""


@dataclass(frozen=True)
class Row:
    """An option, what it is, and who says so."""

    option: str
    value: Any
    origin: str


def show(
    context: typer.Context,
    command: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMMAND [OPTION...]]",
            help="A command, and options of it to try. By default: all commands.",
            show_default=False,
        ),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the value of every option, and where each is from.

    Without a command: only what files and variables set, for all commands. Options after the
    command are tried as if it were run, and a value that cannot be is refused; nothing is run.

    [bold]Examples[/bold]
      david config show
      david config show deblur
      david config show deblur --preset best --codec hevc
    """
    group = _group(context)
    words = group.configurable
    warn_of_variables(group.words)
    if command is not None and command not in words:
        raise UsageError(f"no command {command!r} that has options; {suggestion(command, words)}")
    rows = {
        name: [row for row in _rows(words[name], name, context) if command or row.origin]
        for name in ([command] if command else words)
    }
    if as_json:
        typer.echo(json.dumps({"schema": SCHEMA, **_facts(rows)}, indent=2, default=str))
        return
    for line in _lines({name: found for name, found in rows.items() if found}):
        typer.echo(one_line(line))


def path(as_json: options.JsonOption = False) -> None:
    """List the places of david.toml, the one that decides first at the top.

    [bold]Examples[/bold]
      david config path
    """
    read = config_files.config_paths()
    project = config_files.project_file() or Path.cwd() / config_files.NAME
    places = {"project": project, "user": config_files.user_file()}
    if as_json:
        found = {name: str(place) for name, place in places.items()}
        facts = {"schema": SCHEMA, **found, "read": [str(place) for place in read]}
        typer.echo(json.dumps(facts, indent=2))
        return
    if read and not set(read) & set(places.values()):
        typer.echo(one_line(f"{FILE_VARIABLE}  {read[0]}"))
    for name, place in places.items():
        state = "" if place in read else " (not read)" if place.is_file() else " (not there)"
        typer.echo(one_line(f"{name:<8} {place}{state}"))


def presets(context: typer.Context, as_json: options.JsonOption = False) -> None:
    """List david's presets and yours, and what each sets.

    [bold]Examples[/bold]
      david config presets
      david deblur holiday.mp4 --preset best
    """
    files = config_files.read_configs(_group(context).words)
    found: dict[str, Mapping[str, Value]] = {**PRESETS, **own_presets(files)}
    if as_json:
        typer.echo(json.dumps({"schema": SCHEMA, "presets": found}, indent=2))
        return
    width = max(len(name) for name in found)
    for name, values in found.items():
        typer.echo(one_line(f"{name:<{width}}  {ABOUT.get(name) or 'yours'}"))
        typer.echo(one_line(" " * (width + 2) + _as_options(values)))


CODES = "Exit codes: see david --help."
config = typer.Typer(name="config", cls=HelpfulGroup, no_args_is_help=True, **page(HELP, CODES))
config.command(
    cls=HelpfulCommand,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    **page(show.__doc__, CODES),
)(show)
config.command(cls=HelpfulCommand, **page(path.__doc__, CODES))(path)
config.command(cls=HelpfulCommand, **page(presets.__doc__, CODES))(presets)


def _group(context: typer.Context) -> ConfigurableGroup:
    group = context.find_root().command
    assert isinstance(group, ConfigurableGroup)
    return group


def _rows(command: ConfigurableCommand, name: str, context: typer.Context) -> Iterator[Row]:
    """Every option of a command with these arguments, resolved as a run would have it."""
    tried = copy(command)
    tried.params = [_optional(param) for param in command.params]
    probe = typer.Context(tried, info_name=name, parent=context.find_root())
    tried.resolve(probe, list(context.args))
    for key, option in command.keys.items():
        source = probe.get_parameter_source(option.name)
        typed = source is not None and source.name == "COMMANDLINE"
        origin = "command line" if typed else command.origin(probe, key)
        yield Row(key, probe.params[option.name], origin)


def _optional(param: Any) -> Any:
    """A parameter that may be left out, as nothing will be run."""
    param = copy(param)
    param.required = False
    return param


def _facts(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    return {
        "commands": {
            name: {
                row.option: {"value": row.value, "origin": row.origin or "default"} for row in found
            }
            for name, found in rows.items()
        }
    }


def _lines(rows: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    if not rows:
        yield "nothing is configured: every option has david's own value"
        return
    every = [row for found in rows.values() for row in found]
    option = max(len(row.option) for row in every)
    value = min(40, max(len(_text(row.value)) for row in every))
    for name, found in rows.items():
        yield f"[{name}]"
        for row in found:
            line = f"  {row.option:<{option}}  {_text(row.value):<{value}}  {row.origin}"
            yield line.rstrip()


def _text(value: Any) -> str:
    """A value as it stands in a file; a dash where there is none."""
    if value in (None, [], ()):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _as_options(values: Mapping[str, Value]) -> str:
    """E.g. ``--model david --lossless``."""
    words: list[str] = []
    for key, value in values.items():
        if isinstance(value, bool):
            words.append(f"--{key}" if value else f"--no-{key}")
        else:
            words += [f"--{key} {v}" for v in (value if isinstance(value, list) else [value])]
    return " ".join(words)
