"""A folder of frames: which of its files are frames, and in which order they play."""

from __future__ import annotations

import re
from pathlib import Path

from david_cli.errors import InputError

FRAME_KINDS = "PNG, JPEG, TIFF, WebP, BMP, EXR, DPX or JPEG XL"
FRAME_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".exr", ".dpx", ".jxl"}
)


def list_frames(folder: Path) -> tuple[list[Path], list[Path]]:
    """List a folder's frames in natural order (2 before 10), and everything that is no frame.

    Frames are known by their suffix, in any case. Hidden files (macOS writes ``._frame.png``)
    and sub-folders are no frames.

    Raises:
        InputError: The folder is missing, unreadable, or not a folder.
    """
    if not folder.exists():
        raise InputError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder; for a video use 'david deblur'")
    try:
        entries = sorted(folder.iterdir(), key=natural_key)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror})") from error
    frames = [entry for entry in entries if _is_frame(entry)]
    return frames, [entry for entry in entries if not _is_frame(entry)]


def find_frames(folder: Path) -> tuple[list[Path], list[Path]]:
    """As `list_frames`, of a folder that must have some.

    Raises:
        InputError: There is no frame in it, or it cannot be listed.
    """
    frames, others = list_frames(folder)
    if not frames:
        raise InputError(f"{folder} holds no frames ({FRAME_KINDS} files)")
    return frames, others


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key in which runs of digits count as numbers; the exact name settles a tie."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    key = [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
    return key, path.name


def _is_frame(path: Path) -> bool:
    name_fits = path.suffix.lower() in FRAME_SUFFIXES and not path.name.startswith(".")
    return name_fits and path.is_file()
