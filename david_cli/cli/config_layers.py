"""What holds for a command: places by rank, each with what it says, until every option has one.

flags > variables > a preset named by one of them > the project's file > the user's file >
david's defaults. A preset that a file names stands just below that file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from david_cli.cli.config_files import ConfigFile
from david_cli.cli.config_words import Value, Words
from david_cli.cli.presets import PRESETS, preset_values

SILENCES = {
    "lossless": ("crf", "match-source"),
    "match-source": ("lossless", "crf", "codec", "pix-fmt"),
    "crf": ("lossless", "match-source"),
    "codec": ("match-source", "crf", "encoder-preset", "encoder-option"),
    "pix-fmt": ("match-source",),
    "encoder": ("encoder-preset", "encoder-option"),
    "device": ("devices",),
    "devices": ("device",),
}
"""What said at one place takes back of the places below it: options that would contradict it, and
those that meant another codec or encoder."""


@dataclass(frozen=True)
class Setting:
    """A value, and who says so."""

    value: Value
    origin: str


@dataclass(frozen=True)
class _Place:
    origin: str
    values: Mapping[str, Value]


def settings(
    command: str, said: Mapping[str, object], files: Sequence[ConfigFile], words: Words
) -> dict[str, Setting]:
    """What the files and presets say to a command, by the keys of its options.

    Args:
        command: its name.
        said: what flags and variables say, by key; above all of this.
        files: the one that decides first.
        words: what can be said.

    Raises:
        UsageError: a preset is named that does not exist.
    """
    found: dict[str, Setting] = {}
    silent = _silenced(said)
    for place in _places(command, said, files, words):
        news = {
            key: Setting(value, place.origin)
            for key, value in place.values.items()
            if key in words.commands[command] and key not in {*said, *found, *silent}
        }
        silent |= _silenced({key: setting.value for key, setting in news.items()})
        found |= news
    return found


def own_presets(files: Sequence[ConfigFile]) -> dict[str, Mapping[str, Value]]:
    """The presets of the files; of two with one name, that of the file that decides."""
    return {name: values for file in reversed(files) for name, values in file.presets.items()}


def _places(
    command: str, said: Mapping[str, object], files: Sequence[ConfigFile], words: Words
) -> Iterator[_Place]:
    takes_presets = "preset" in words.commands[command]
    named = said.get("preset") if takes_presets else None
    tables = [_tables(command, file, words) for file in files]
    has_codec = any("codec" in table for pair in tables for table in pair)
    if named is not None:
        yield _preset(str(named), f"--preset {named}", files, has_codec=has_codec)
    for file, (own, shared) in zip(files, tables, strict=True):
        yield _Place(str(file.path), own)
        yield _Place(str(file.path), shared)
        inside = own.get("preset", shared.get("preset"))
        if takes_presets and named is None and inside is not None:
            named = inside
            yield _preset(str(named), f"{file.path}", files, has_codec=has_codec)


def _tables(
    command: str, file: ConfigFile, words: Words
) -> tuple[Mapping[str, Value], Mapping[str, Value]]:
    """What a file says to this command alone, and to all that share an option."""
    shared = {k: v for k, v in file.shared.items() if command in words.shared[k]}
    return file.commands.get(command, {}), shared


def _preset(name: str, asked_by: str, files: Sequence[ConfigFile], *, has_codec: bool) -> _Place:
    """The crf of a preset of david's own is meant for the codec that david or the preset takes."""
    values = preset_values(name, own_presets(files), asked_by)
    if has_codec and name in PRESETS and "codec" not in values:
        values = {key: value for key, value in values.items() if key != "crf"}
    return _Place(f"preset {name}", values)


def _silenced(said: Mapping[str, object]) -> set[str]:
    on = (key for key, value in said.items() if value not in (None, False))
    return {key for one in on for key in SILENCES.get(one, ())}
