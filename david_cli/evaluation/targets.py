"""Where results go: what cannot be is refused before the work, and no file is left half written."""

from __future__ import annotations

import os
from pathlib import Path

from david_cli.errors import OutputError
from david_cli.files import no_folder_for, replace_file


def refuse_source(source: Path, target: Path) -> None:
    """Nothing is ever written over what it is made from, nor among it, whatever was allowed.

    Args:
        source: an existing file or folder.
        target: a file to write.

    Raises:
        OutputError: the target is the source, or inside of it.
    """
    if target.exists() and target.samefile(source):
        raise OutputError(f"{target} is the input itself; choose another output with -o")
    if target.resolve().is_relative_to(source.resolve()):
        raise OutputError(f"{target} is inside of the input {source}; choose another place with -o")


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse what is no new file in an existing folder.

    Args:
        target: a file to write.
        overwrite: whether an existing one may be replaced.

    Raises:
        OutputError: it exists, or its folder does not.
    """
    if target.is_dir():
        raise OutputError(f"{target} is a folder: name a file with -o")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already: add --yes to overwrite it")
    if not target.absolute().parent.is_dir():
        raise no_folder_for(target)


def check_folder(target: Path) -> None:
    """Refuse a file whose folder is not there and cannot be made, or cannot be written to.

    Raises:
        OutputError: so it is.
    """
    existing = next(folder for folder in target.absolute().parents if folder.exists())
    if not existing.is_dir():
        raise OutputError(f"{target} cannot be written: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{target} cannot be written: {existing} takes no new files")


def make_folder(target: Path) -> None:
    """Create the folder of a file to be.

    Raises:
        OutputError: it cannot be.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"{target.parent} cannot be made: {err.strerror or err}") from err


def write_text(target: Path, text: str) -> None:
    """Write a file that is complete or not there.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    make_folder(target)
    replace_file(target, text.encode())
