"""The words that a configuration may use: the options that the commands declare.

An option is known by its long name without the dashes (``pix-fmt``); underscores will do as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from david_cli.errors import UsageError

PREFIX = "DAVID_"
"""What the name of every environment variable begins with."""
FILE_VARIABLE = "DAVID_CONFIG"
"""The variable that names the one file to read instead of those that are looked for."""
WEIGHTS = ".safetensors"
"""How the name of a file ends where an option takes a name or a file."""

Value = bool | str | list[str]
"""What an option may be: a flag, or words as they would stand on the command line."""


@dataclass(frozen=True)
class Option:
    """One option of one command."""

    parameter: str
    """What the command's function calls it."""
    help: str
    flag: bool
    """Whether it takes no value."""
    several: bool
    """Whether it may be given several times."""
    path: bool = False
    """Whether it names a file or a folder."""

    def value(self, raw: object, folder: Path) -> Value:
        """What TOML says, as the command line would say it.

        Args:
            raw: of the file.
            folder: of the file, which paths in it start from.

        Raises:
            ValueError: it is no value of such an option; the message says what would be.
        """
        if self.flag:
            if isinstance(raw, bool):
                return raw
            raise ValueError("takes true or false")
        if self.several:
            parts = raw if isinstance(raw, list) else [raw]
            return [self._placed(_word(part), folder) for part in parts]
        return self._placed(_word(raw), folder)

    def _placed(self, word: str, folder: Path) -> str:
        """A path from the folder of the file; other words, `-` and weights by name as they are."""
        is_path = self.path or word.endswith(WEIGHTS)
        return str(folder / os.path.expanduser(word)) if is_path and word not in ("", "-") else word


@dataclass(frozen=True)
class Words:
    """Every option that can be configured."""

    commands: Mapping[str, Mapping[str, Option]]
    """Command -> its options by their keys."""

    @cached_property
    def shared(self) -> Mapping[str, frozenset[str]]:
        """Key -> the commands that declare it alike, of keys that several commands have.

        Where a name has two meanings (a strength of `david synth` is no strength of `david
        deblur`), the meaning is that of the first command which shares it.
        """
        alike: dict[tuple[str, str], set[str]] = {}
        for command, options in self.commands.items():
            for key, option in options.items():
                alike.setdefault((key, option.help), set()).add(command)
        found: dict[str, frozenset[str]] = {}
        for (key, _), commands in alike.items():
            if len(commands) > 1:
                found.setdefault(key, frozenset(commands))
        return found

    def option(self, key: str, commands: Iterable[str]) -> Option | None:
        """The option of that name that one of the commands has."""
        return next((self.commands[c][key] for c in commands if key in self.commands[c]), None)

    def variables(self, command: str, key: str) -> list[str]:
        """The variables that set an option, the one that decides first."""
        name = key.replace("-", "_").upper()
        own = f"{PREFIX}{command.upper()}_{name}"
        return [own, f"{PREFIX}{name}"] if command in self.shared.get(key, ()) else [own]

    def unknown_variables(self, environment: Iterable[str]) -> dict[str, str]:
        """Variables that look like david's and are not, each with what to do about it."""
        known = {FILE_VARIABLE}
        for command, options in self.commands.items():
            known.update(name for key in options for name in self.variables(command, key))
        strange = sorted(n for n in environment if n.startswith(PREFIX) and n not in known)
        return {name: suggestion(name, known) for name in strange}


def canonical(key: str) -> str:
    """``pix_fmt`` and ``pix-fmt`` are the same option."""
    return key.replace("_", "-")


def suggestion(name: str, known: Iterable[str]) -> str:
    """``did you mean x?``, or what to look at where nothing is near."""
    import difflib

    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "'david config --help' says what there is"


def _word(raw: object) -> str:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError("takes a text or a number; texts stand in quotes")
    return str(raw)


def unknown_key(key: str, where: str, known: Iterable[str]) -> UsageError:
    """An error that names the key, its place and the nearest one that exists."""
    return UsageError(f"{where}: no option is called {key!r}; {suggestion(key, known)}")
