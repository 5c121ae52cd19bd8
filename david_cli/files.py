"""Files written whole: whoever looks finds the old one or the new one, never a part."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from david_cli.errors import DavidError, InputError, OutputError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No room on the disk, none within the quota, none for a file of this size."""
STEM_LENGTH = 40
"""Characters of a final name in a temporary one; names end at 255 bytes."""


def replace_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write under a temporary name beside ``path``, then rename.

    Args:
        path: the final name.
        data: all of the file.
        durable: whether it must be on the disk when this returns, power cut or not.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    name = f".{path.name[:STEM_LENGTH]}.{secrets.token_hex(4)}.part"
    unfinished = path.with_name(name)
    try:
        try:
            unfinished.write_bytes(data)
            if durable:
                publish(unfinished, path)
            else:
                unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as err:
        raise OutputError(f"{path} cannot be written: {err.strerror or err}") from err


def is_there(path: Path, error: type[DavidError]) -> bool:
    """Whether a path leads to anything.

    Raises:
        DavidError: the given one, where the system does not say: the name is too long, or a folder
            on the way may not be entered.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as err:
        advice = "rename it or its folder" if error is InputError else "choose another with -o"
        if isinstance(err, PermissionError):
            advice = "check the permissions of its folders"
        raise error(f"{path}: {err.strerror}; {advice}") from err
    return True


def publish(part: Path, target: Path) -> None:
    """Give a finished file its final name, in this order: content on the disk, name, folder.

    Raises:
        OSError: the disk is full or fails; the file has its old name then.
    """
    sync(part)
    os.replace(part, target)
    sync(target.parent)


def missing(path: Path) -> str:
    """What to say of a file that is not there: the nearest name in its folder, if one is near."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"{path}: no such file; there is no folder {path.parent}"
    import difflib  # slow to load, for a message

    try:
        near = difflib.get_close_matches(path.name, os.listdir(folder), n=1)
    except OSError:  # a folder that cannot be listed
        near = []
    advice = f"did you mean {path.with_name(near[0])}?" if near else "check the name"
    return f"{path}: no such file; {advice}"


def no_folder_for(output: Path) -> OutputError:
    """What is wrong with an output, named by -o, whose folder is not there."""
    return OutputError(f"{output.parent}: no such folder; create it or choose another with -o")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that the disk has no more room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return True
        error = error.__cause__
    return False


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, onto the disk, where the system can do it.

    Raises:
        OSError: the disk is full or fails.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders
    try:
        os.fsync(handle)
    except OSError as err:  # some file systems know no fsync; a full disk is something else
        if err.errno in (*DISK_FULL, errno.EIO):
            raise
    finally:
        os.close(handle)
