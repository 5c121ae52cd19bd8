"""TIFF, 1 to 32 bits, half and float: layout, compression and all tags still true are kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tifffile

from david_cli.images.still import (
    COLOR_CHANNELS,
    Carried,
    Codes,
    ColorModel,
    Header,
    Samples,
    StillImage,
)
from david_cli.images.tiff_tags import Entry, Layout, read_first_directory, with_first_directory
from david_cli.transfer import LINEAR, UNSPECIFIED

JPEG_QUALITY = 95

_MIN_IS_WHITE, _PALETTE, _YCBCR = 0, 3, 6  # photometric interpretations
_MODELS: dict[int, ColorModel] = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk", 6: "rgb"}
_PHOTOMETRIC = {"grey": "minisblack", "rgb": "rgb", "cmyk": "separated"}
_NONE, _LZW, _JPEG, _ADOBE_DEFLATE, _PACKBITS = 1, 5, 7, 8, 32773
_DEFLATE, _LZMA, _ZSTD = 32946, 34925, 50000
_KEPT_COMPRESSION = frozenset(
    {_NONE, _LZW, _JPEG, _ADOBE_DEFLATE, _PACKBITS, _DEFLATE, _LZMA, _ZSTD}
)
_LOSSY = frozenset({6, _JPEG, 33003, 33004, 33005, 34712, 34892, 50001, 50002, 52546})
_SEPARATE = 2  # planar configuration: one plane after the other
_HORIZONTAL, _FLOATING_POINT = 2, 3  # predictors
_DESCRIPTION, _TRANSFER_FUNCTION, _PROFILE = 270, 301, 34675

_LAYOUT_TAGS = frozenset(  # they describe the stored picture: tifffile writes them anew
    {255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 284, 288, 289}
    | {292, 293, 317, 320, 322, 323, 324, 325, 326, 327, 328, 338, 339, 340, 341, 347}
    | {*range(512, 522), 529, 530, 531, 532}
)
_STALE_TAGS = {
    330: "sub-pictures (previews, smaller sizes) are dropped",
    37724: "Photoshop's layers show the old picture and are dropped",
    50255: "Photoshop's annotations are dropped",
}


_STACK_DESCRIPTIONS = (b'{"shape"', b"ImageJ=", b"<OME", b"<?xml")
"""How tifffile, ImageJ and OME begin a description that counts the pages of a stack."""


@dataclass(frozen=True)
class TiffSettings(Carried):
    """What a TIFF is written back with."""

    tags: tuple[Entry, ...]
    layout: Layout
    compression: int
    predictor: bool
    separate: bool
    """Planes one after the other instead of interleaved."""
    white_is_zero: bool
    extra_samples: tuple[int, ...]
    """Meaning of each channel behind the colours: 1 and 2 = alpha, 0 = unsaid."""
    rows_per_strip: int | None
    tile: tuple[int, int] | None
    subsampling: tuple[int, int] | None
    """Chroma steps, of JPEG compression only."""


def read_header(file: BinaryIO) -> Header:
    """Read the size, and see that the picture is of a kind that can be decoded."""
    with tifffile.TiffFile(file) as tiff:
        page = _first_page(tiff)
        return Header("tiff", page.imagewidth, page.imagelength)


def decode(data: bytes) -> StillImage:
    """Decode the first page of a TIFF file; what cannot be written back is listed."""
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = _first_page(tiff)
        if any(
            a + n > len(data) for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            raise ValueError("the file ends before the picture does")
        pages = len(tiff.pages)
        pixels, bits, losses = _decode_pixels(page)
        compression = int(page.compression)
        tags, tag_losses = _carried_tags(read_first_directory(data), stack=pages > 1)
        settings = _settings(page, tags, Layout.of(data))
    losses += tag_losses
    if compression not in _KEPT_COMPRESSION:
        losses += (f"compression {page.compression.name} becomes deflate",)
    if pages > 1:
        losses += (f"only the first of {pages} pages is kept",)
    model = _MODELS[int(page.photometric)]
    if model == "cmyk":
        losses += ("CMYK is kept, but deblurred without its colour profile",)
    encoded = data if compression in _LOSSY else None
    transfer = _transfer(pixels, tags)
    return StillImage(pixels, bits, model, settings, "tiff", losses, encoded, transfer)


def encode(image: StillImage) -> bytes:
    """Encode a picture in its source's layout, then join the source's tags to it."""
    settings = image.carried
    assert isinstance(settings, TiffSettings)
    pixels = image.pixels
    if settings.white_is_zero:
        pixels = _inverted(pixels, image.bits)
    array: Any = pixels.astype(bool) if image.bits == 1 else pixels
    if array.shape[2] == 1:
        array = array[:, :, 0]
    elif settings.separate:
        array = np.moveaxis(array, 2, 0)
    file = io.BytesIO()
    tifffile.imwrite(file, np.ascontiguousarray(array), **_write_options(image, settings))
    made = file.getvalue()
    carried = {entry.code: entry for entry in settings.tags}
    joined = {entry.code: entry for entry in read_first_directory(made)} | carried
    return with_first_directory(made, tuple(joined.values()))


def _first_page(tiff: tifffile.TiffFile) -> Any:
    """Return the first page, or raise ValueError where it cannot be decoded and written back."""
    page: Any = tiff.pages[0]
    bits, photometric = page.bitspersample, int(page.photometric)
    model = _MODELS.get(photometric)
    if model is None or (photometric == _YCBCR and int(page.compression) != _JPEG):
        raise ValueError(f"photometric interpretation {page.photometric!r}")
    if page.dtype is None or bits not in _depths(page.dtype.kind, model, photometric):
        raise ValueError(
            f"samples of {bits} bits, {page.dtype}; unsigned integers of 8, 16 and 32 bits, half "
            "and float are read"
        )
    if page.imagedepth != 1:
        raise ValueError("a volume, not a picture")
    if photometric != _PALETTE and page.samplesperpixel < COLOR_CHANNELS[model]:
        raise ValueError(f"{page.samplesperpixel} samples per pixel")
    return page


def _depths(kind: str, model: ColorModel, photometric: int) -> tuple[int, ...]:
    """Bits per sample that can be read, by numpy's kind of their type."""
    if kind == "f":
        return () if model == "cmyk" or photometric == _MIN_IS_WHITE else (16, 32)
    if kind not in "ub":
        return ()
    low = (1, 2, 4) if model == "grey" or photometric == _PALETTE else ()
    return (*low, 8, 16, 32)


def _transfer(pixels: Samples, tags: tuple[Entry, ...]) -> int:
    """Floats are linear light unless the file describes them, which is not what a display shows."""
    described = {_TRANSFER_FUNCTION, _PROFILE} & {entry.code for entry in tags}
    return LINEAR if pixels.dtype.kind == "f" and not described else UNSPECIFIED


def _decode_pixels(page: Any) -> tuple[Samples, int, tuple[str, ...]]:
    """Decode to samples (H, W, C) with 0 = black. Returns them, their bits and the losses."""
    array = page.asarray()
    if int(page.planarconfig) == _SEPARATE and page.samplesperpixel > 1:
        array = np.moveaxis(array, 0, 2)
    pixels: Samples = np.ascontiguousarray(array.reshape(page.imagelength, page.imagewidth, -1))
    bits = page.bitspersample
    if int(page.photometric) == _PALETTE:
        return *_expand_palette(pixels[:, :, 0], page.colormap), ("palette colours become RGB",)
    if bits == 1:
        pixels = pixels.astype(np.uint8)
    losses: tuple[str, ...] = ()
    if bits in (2, 4):  # tifffile does not write them; 255 is a multiple of 3 and of 15
        pixels, losses = pixels * np.uint8(255 // ((1 << bits) - 1)), (f"{bits} bits become 8",)
        bits = 8
    if int(page.photometric) == _MIN_IS_WHITE:
        pixels = _inverted(pixels, bits)
    return pixels, bits, losses


def _expand_palette(indices: Codes, colors: Codes) -> tuple[Codes, int]:
    """Look 16-bit colours (3, N) up; 8 bits are enough where they were only scaled up from 8."""
    pixels = np.moveaxis(colors[:, indices], 0, 2).astype(np.uint16)
    high, low = pixels >> 8, pixels & 255
    if np.array_equal(low, high) or not low.any():
        return high.astype(np.uint8), 8
    return pixels, 16


def _inverted(pixels: Codes, bits: int) -> Codes:
    return pixels.dtype.type((1 << bits) - 1) - pixels


def _settings(page: Any, tags: tuple[Entry, ...], layout: Layout) -> TiffSettings:
    compression = int(page.compression)
    return TiffSettings(
        tags,
        layout,
        compression if compression in _KEPT_COMPRESSION else _ADOBE_DEFLATE,
        predictor=page.predictor in (_HORIZONTAL, _FLOATING_POINT),
        separate=int(page.planarconfig) == _SEPARATE,
        white_is_zero=int(page.photometric) == _MIN_IS_WHITE,
        extra_samples=tuple(int(sample) for sample in page.extrasamples),
        rows_per_strip=None if page.is_tiled else min(page.rowsperstrip, page.imagelength),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
        subsampling=page.subsampling if compression == _JPEG else None,
    )


def _carried_tags(
    entries: tuple[Entry, ...], *, stack: bool
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Sort tags into those that go back and those that are lost."""
    kept, losses = [], []
    for entry in entries:
        if entry.code in _LAYOUT_TAGS:
            continue
        if entry.code in _STALE_TAGS:
            losses.append(_STALE_TAGS[entry.code])
        elif stack and entry.code == _DESCRIPTION and entry.value.startswith(_STACK_DESCRIPTIONS):
            losses.append("the description counts the pages of a stack and is dropped")
        elif entry.is_foreign_pointer:
            losses.append(f"tag {entry.code} points to an unknown directory and is dropped")
        else:
            kept.append(entry)
    return tuple(kept), tuple(losses)


def _write_options(image: StillImage, settings: TiffSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "byteorder": settings.layout.order,
        "bigtiff": settings.layout.big,
        "photometric": "miniswhite" if settings.white_is_zero else _PHOTOMETRIC[image.model],
        "compression": _ADOBE_DEFLATE if settings.compression == _DEFLATE else settings.compression,
        "metadata": None,
        "software": False,
    }
    if image.pixels.shape[2] > 1:
        options["planarconfig"] = "separate" if settings.separate else "contig"
    extra = image.pixels.shape[2] - COLOR_CHANNELS[image.model]
    if extra:
        options["extrasamples"] = (settings.extra_samples + (0,) * extra)[:extra]
    if settings.compression == _JPEG:
        options["compressionargs"] = {"level": JPEG_QUALITY}
        options["subsampling"] = settings.subsampling
    elif settings.compression != _NONE and image.bits > 1:
        options["predictor"] = settings.predictor
    if settings.tile:
        return options | {"tile": settings.tile}
    return options | {"rowsperstrip": settings.rows_per_strip}
