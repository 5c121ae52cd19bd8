"""Small files written whole: whoever looks finds the old one or the new one, never a part."""

from __future__ import annotations

import secrets
from pathlib import Path

from david_cli.errors import OutputError


def replace_file(path: Path, data: bytes) -> None:
    """Write under a temporary name beside ``path``, then rename.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as err:
        raise OutputError(f"{path} cannot be written: {err.strerror or err}") from err
