"""Still images on disk: the format is told by a file's first bytes, writing is all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from david_cli.errors import InputError
from david_cli.files import replace_file
from david_cli.images import bmp, dpx, exr, jpeg, jxl, png, tiff, webp
from david_cli.images.folder import FRAME_KINDS
from david_cli.images.still import FileKind, Header, StillImage

_FORMATS: dict[FileKind, ModuleType] = {
    "png": png,
    "jpeg": jpeg,
    "tiff": tiff,
    "webp": webp,
    "bmp": bmp,
    "exr": exr,
    "dpx": dpx,
    "jxl": jxl,
}
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURE_LENGTH = 12  # bytes


def read_image_header(path: Path) -> Header:
    """Read what kind of image a file is and its size, without decoding the picture.

    Raises:
        InputError: The file is missing, empty, no image, or one of a kind david cannot decode.
    """
    with _input_errors(path), path.open("rb") as file:
        module = _FORMATS[_kind(file.read(_SIGNATURE_LENGTH))]
        file.seek(0)
        header: Header = module.read_header(file)
        return header


def read_image(path: Path) -> StillImage:
    """Decode an image file of any kind in `FRAME_KINDS` (the first picture of several).

    Raises:
        InputError: The file is missing, damaged, or of a kind david cannot decode.
    """
    with _input_errors(path):
        data = path.read_bytes()
        image: StillImage = _FORMATS[_kind(data)].decode(data)
        return image


def write_image(path: Path, image: StillImage) -> None:
    """Write a picture as the kind of file it came from, replacing ``path`` in one step.

    Raises:
        OutputError: The file cannot be written; nothing is left behind.
    """
    replace_file(path, image.encoded or _FORMATS[image.kind].encode(image))


def _kind(data: bytes) -> FileKind:
    if data.startswith(png.SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(_TIFF_SIGNATURES):
        return "tiff"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith(exr.SIGNATURE):
        return "exr"
    if data.startswith(dpx.SIGNATURES):
        return "dpx"
    if data.startswith(jxl.SIGNATURES):
        return "jxl"
    if data.startswith(b"BM"):
        return "bmp"
    raise ValueError("the file is empty" if not data else f"it is no {FRAME_KINDS} image")


@contextmanager
def _input_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws at a damaged file into one InputError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}") from error
    except InputError as error:  # a library that is not there, not a damaged file
        raise InputError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read as an image: {reason}; remove or replace it"
        ) from error
