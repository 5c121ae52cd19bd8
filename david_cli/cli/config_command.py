"""Commands whose options can be configured, by Click's own means.

Variables are Click's ``envvar``; what files and presets say becomes the ``default_map`` of the
command's context, so that ``get_parameter_source`` knows where every value is from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from typer import BadParameter
from typer.core import TyperOption

from david_cli.cli.config_files import ConfigFile, read_configs
from david_cli.cli.config_layers import settings
from david_cli.cli.config_words import Option, Words
from david_cli.cli.help import HelpfulCommand, HelpfulGroup
from david_cli.errors import DavidError, UsageError

SAID = ("COMMANDLINE", "ENVIRONMENT")
"""Click's names of the sources that stand above all files."""
_ORIGINS = "david.origins"
_OPTION = re.compile(r"--[a-z][a-z-]*")


class ConfigurableCommand(HelpfulCommand):
    """A command that looks at variables and at `david.toml`.

    Every flag can be taken back on the command line with ``--no-``: a file may have set it.
    """

    words = Words({})
    """Given by the group that has all commands."""

    @cached_property
    def keys(self) -> dict[str, TyperOption]:
        """Key -> the option as Click has it."""
        options = (param for param in self.params if isinstance(param, TyperOption))
        return {key_of(option): option for option in options}

    def described(self) -> dict[str, Option]:
        """Key -> the option, for `Words`."""
        return {
            key: Option(
                option.name,
                option.help or "",
                option.is_flag,
                option.multiple,
                _is_path(option),
            )
            for key, option in self.keys.items()
        }

    def configure(self, words: Words) -> None:
        """Learn what all commands have in common, and take the variables' names from that."""
        self.words = words
        for key, option in self.keys.items():
            option.envvar = words.variables(self.name or "", key)
            option.show_envvar = False  # one line for all, not one for each

    def make_parser(self, ctx: Any) -> Any:
        parser = super().make_parser(ctx)
        for key, option in self.keys.items():
            if option.is_flag and not option.secondary_opts:
                parser.add_option(
                    obj=option,
                    opts=[f"--no-{key}"],
                    dest=option.name,
                    action="store_const",
                    const=False,
                )
        return parser

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # completion needs no file
            return super().parse_args(ctx, args)
        return self.resolve(ctx, args)

    def resolve(self, ctx: Any, args: list[str]) -> list[str]:
        """Read arguments, with what variables, files and presets say beside them."""
        said = self._said(ctx, args)
        if said is not None:
            found = settings(self.name or "", said, self.files(), self.words)
            ctx.default_map = {self.keys[key].name: one.value for key, one in found.items()}
            ctx.meta[_ORIGINS] = {key: one.origin for key, one in found.items()}
        try:
            rest = super().parse_args(ctx, args)
        except BadParameter as error:
            if error.param is not None:
                origin = self.origin(ctx, key_of(error.param))
                error.message += f" ({origin})" if origin else ""
            raise
        if isinstance(ctx.obj, dict):  # the error boundary's, which knows only the command line
            ctx.obj.update(ctx.params)
        return rest

    def files(self) -> list[ConfigFile]:
        """What `david.toml` says.

        Raises:
            UsageError: something that means nothing.
        """
        return read_configs(self.words)

    def invoke(self, ctx: Any) -> Any:
        warn_of_variables(self.words)
        try:
            return super().invoke(ctx)
        except DavidError as error:
            for note in self._notes(ctx, str(error)):
                error.add_note(note)
            raise

    def origin(self, ctx: Any, key: str) -> str:
        """Who set an option, if neither the command line nor david itself."""
        option = self.keys.get(key)
        source = option and ctx.get_parameter_source(option.name)
        if option is None or source is None:
            return ""
        if source.name == "ENVIRONMENT":
            names = option.envvar if isinstance(option.envvar, list) else []
            return next((name for name in names if os.environ.get(name)), "")
        return str(ctx.meta[_ORIGINS][key]) if source.name == "DEFAULT_MAP" else ""

    def _said(self, ctx: Any, args: Sequence[str]) -> dict[str, object] | None:
        """What flags and variables say, by key; None where help is asked for."""
        probe = self.context_class(
            self, info_name=ctx.info_name, parent=ctx.parent, resilient_parsing=True
        )
        super().parse_args(probe, list(args))
        sources = {name: probe.get_parameter_source(name) for name in ("help", *probe.params)}
        names = {name for name, source in sources.items() if source and source.name in SAID}
        if "help" in names:
            return None
        options = self.keys.items()
        return {k: probe.params[option.name] for k, option in options if option.name in names}

    def _notes(self, ctx: Any, message: str) -> Iterator[str]:
        """Where options are from that nobody typed and an error names, or names the values of."""
        named = _OPTION.findall(message)
        for key, option in self.keys.items():
            if f"--{key}" in named or _stands_in(message, ctx.params.get(option.name)):
                origin = self.origin(ctx, key)
                if origin:
                    yield f"--{key} is set by {origin}"


class UndauntedCommand(ConfigurableCommand):
    """A command that runs, by its own defaults, though the files cannot be used."""

    def files(self) -> list[ConfigFile]:
        try:
            return super().files()
        except UsageError:
            return []


class ConfigurableGroup(HelpfulGroup):
    """`david` itself: knows all commands, and so what they have in common."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in self.configurable.values():
            command.configure(self.words)

    @cached_property
    def configurable(self) -> dict[str, ConfigurableCommand]:
        """The commands with options to configure."""
        return {n: c for n, c in self.commands.items() if isinstance(c, ConfigurableCommand)}

    @cached_property
    def words(self) -> Words:
        """All that can be configured."""
        return Words({name: command.described() for name, command in self.configurable.items()})


def warn_of_variables(words: Words) -> None:
    """Name variables that look like david's and set nothing: a slip of the pen has no effect."""
    unknown = words.unknown_variables(os.environ)
    if unknown:
        from david_cli.cli.progress import print_line, stderr_console

        for name, advice in unknown.items():
            print_line(stderr_console(), "warning", f"{name} is set and means nothing; {advice}")


def _stands_in(message: str, value: object) -> bool:
    """Whether a text is one of the words of a message: a codec that is unknown, a missing file."""
    word = str(value) if isinstance(value, str | Path) else ""
    return len(word) > 1 and bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message))


def _is_path(option: TyperOption) -> bool:
    annotation = option.type_descriptor.annotation
    return Path in (annotation, *get_args(annotation))


def key_of(option: Any) -> str:
    """The long name of an option, without its dashes."""
    return str(max(option.opts, key=len)).lstrip("-")
