"""`david.toml`: where it is looked for, and what may be written in it.

Keys at the top hold for every command that has such an option, those under ``[deblur]`` for one
command, those under ``[presets.NAME]`` for ``--preset NAME``. A file is checked as a whole each
time it is read, so that a slip of the pen never goes unnoticed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time
from itertools import chain
from pathlib import Path

import typer

from david_cli.cli.config_words import (
    FILE_VARIABLE,
    Value,
    Words,
    canonical,
    suggestion,
    unknown_key,
)
from david_cli.cli.presets import PRESETS
from david_cli.errors import UsageError

NAME = "david.toml"
PRESETS_TABLE = "presets"


@dataclass(frozen=True)
class ConfigFile:
    """What a file says, checked."""

    path: Path
    shared: Mapping[str, Value]
    """Options of all commands that share them, by their keys."""
    commands: Mapping[str, Mapping[str, Value]]
    """Command -> options of this one."""
    presets: Mapping[str, Mapping[str, Value]]


def user_file() -> Path:
    """The user's file, there or not: in the platform's folder for settings."""
    return Path(typer.get_app_dir("david", roaming=False)) / NAME


def project_file() -> Path | None:
    """The nearest `david.toml`, from the working directory upwards.

    The search ends where the folders belong to somebody else: what a stranger leaves in /tmp is
    no configuration.
    """
    with suppress(OSError):  # a working directory that was removed
        here = Path.cwd()
        owner = here.stat().st_uid
        for folder in (here, *here.parents):
            if folder.stat().st_uid != owner:
                return None
            if (folder / NAME).is_file():
                return folder / NAME
    return None


def config_paths() -> list[Path]:
    """The files to read, the one that decides first. ``DAVID_CONFIG`` names the only one.

    Raises:
        UsageError: the one it names is not there.
    """
    named = os.environ.get(FILE_VARIABLE)
    if named:
        path = Path(os.path.expanduser(named))
        if not path.exists():
            raise UsageError(
                f"{FILE_VARIABLE}={named}: no such file; name one that is there or unset it"
            )
        return [path]
    found = project_file()
    user = user_file()
    there = [user] if user.is_file() and found != user else []
    return [found, *there] if found else there


def read_configs(words: Words) -> list[ConfigFile]:
    """All files that count, the one that decides first.

    Raises:
        UsageError: one of them cannot be read, or says something that means nothing.
    """
    return [read_config(path, words) for path in config_paths()]


def read_config(path: Path, words: Words) -> ConfigFile:
    """Read and check one file.

    Raises:
        UsageError: it cannot be read, is no TOML, or says something that means nothing.
    """
    import tomllib

    try:
        # Windows editors begin a file with a mark of its encoding
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror or err}; see 'david config path'") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise UsageError(f"{path}: not TOML: {err}; see 'david config --help'") from err
    presets = document.pop(PRESETS_TABLE, {})
    if not isinstance(presets, dict):
        raise UsageError(f"{path}: write [{PRESETS_TABLE}.NAME] and its options below")
    tables = {name: table for name, table in document.items() if isinstance(table, dict)}
    shared = {key: value for key, value in document.items() if key not in tables}
    for name in tables:
        if name not in words.commands:
            advice = suggestion(name, (*words.commands, PRESETS_TABLE))
            raise UsageError(f"{path}: no command is called {name!r}; {advice}")
    return ConfigFile(
        path=path,
        shared=dict(_shared(path, shared, words)),
        commands={c: dict(_of_command(path, c, table, words)) for c, table in tables.items()},
        presets={n: dict(_preset(path, n, table, words)) for n, table in presets.items()},
    )


def _shared(path: Path, said: Mapping[str, object], words: Words) -> Iterator[tuple[str, Value]]:
    for name, raw in said.items():
        key = canonical(name)
        if key not in words.shared:
            having = [command for command, options in words.commands.items() if key in options]
            if having:
                raise UsageError(
                    f"{path}: {name} is not an option of all commands alike; "
                    f"write it under [{'] or ['.join(having)}]"
                )
            raise unknown_key(name, f"{path}", chain.from_iterable(words.commands.values()))
        yield key, _value(path, name, raw, words, words.shared[key])


def _of_command(
    path: Path, command: str, said: Mapping[str, object], words: Words
) -> Iterator[tuple[str, Value]]:
    for name, raw in said.items():
        if canonical(name) not in words.commands[command]:
            raise unknown_key(name, f"{path}, [{command}]", words.commands[command])
        yield canonical(name), _value(path, f"[{command}] {name}", raw, words, [command])


def _preset(path: Path, preset: str, said: object, words: Words) -> Iterator[tuple[str, Value]]:
    """A preset may use the options of the commands that take ``--preset``."""
    where = f"{path}, [{PRESETS_TABLE}.{preset}]"
    if preset in PRESETS:
        raise UsageError(f"{where}: {preset!r} is a preset of david's own; choose another name")
    if not isinstance(said, dict):
        raise UsageError(f"{path}: write [{PRESETS_TABLE}.NAME] and its options below")
    takers = [command for command, options in words.commands.items() if "preset" in options]
    known = {key for command in takers for key in words.commands[command]} - {"preset"}
    for name, raw in said.items():
        if canonical(name) not in known:
            raise unknown_key(name, where, known)
        label = f"[{PRESETS_TABLE}.{preset}] {name}"
        yield canonical(name), _value(path, label, raw, words, takers)


def _value(
    path: Path, label: str, raw: object, words: Words, commands: frozenset[str] | list[str]
) -> Value:
    option = words.option(canonical(label.rpartition(" ")[2]), commands)
    assert option is not None
    try:
        return option.value(raw, path.parent)
    except ValueError as err:
        raise UsageError(f"{path}: {label} = {_as_written(raw)}: {err}") from None


def _as_written(raw: object) -> str:
    """A value as TOML has it, more or less."""
    return str(raw) if isinstance(raw, date | time) else json.dumps(raw, default=str)
