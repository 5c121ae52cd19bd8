"""The weights that come with the package, found without torch, and the checksums they should have.

``SHA256SUMS`` lies beside them in the form that ``sha256sum --check`` reads.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

SUFFIX = ".safetensors"
CHECKSUMS = "SHA256SUMS"
AUTO = "david-lite"
"""The model that ``auto`` stands for, on every device: the one whose measured gain is the largest.
"""
DEFAULT_OVERLAP = 160
"""Pixels that neighbouring tiles share: how far the shipped networks look around, as far as it
shows (measured by ``test_tiles_do_not_show``); ``david-lite`` looks further than ``david``."""
_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_weights", _PACKAGE.parent / "weights")  # in a wheel; in a source tree


def weights_folder() -> Path | None:
    """Where the shipped weights lie; None where there are none."""
    return next((folder for folder in _FOLDERS if folder.is_dir()), None)


def shipped_files() -> list[Path]:
    """The shipped weights, in name order."""
    folder = weights_folder()
    return sorted(folder.glob(f"*{SUFFIX}")) if folder else []


def expected_checksums(folder: Path) -> dict[str, str]:
    """File name -> sha256 in hex, of the weights that should lie in ``folder``.

    Raises:
        OSError: their list cannot be read.
        ValueError: it is no list of checksums.
    """
    lines = (folder / CHECKSUMS).read_text(encoding="ascii").splitlines()
    pairs = [line.split("  ", 1) for line in lines if line]
    if not all(len(pair) == 2 and len(pair[0]) == 64 for pair in pairs):
        raise ValueError(f"{folder / CHECKSUMS} is damaged")
    return {name: digest for digest, name in pairs}


def checksum(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
