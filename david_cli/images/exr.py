"""OpenEXR: scene-linear half and float, unbounded; all channels and attributes are kept.

Only R, G and B (or Y) are sharpened; alpha, depth, identifiers and further layers pass through.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from david_cli.errors import InputError
from david_cli.images.exr_header import (
    MAGIC,
    Channel,
    ExrHeader,
    check_whole,
    read_exr_header,
    with_header,
)
from david_cli.images.still import Carried, ColorModel, Header, StillImage
from david_cli.transfer import LINEAR

SIGNATURE = MAGIC

_OLDEST = (3, 5)  # earlier releases of the library know no files in memory
_LOSSLESS = frozenset({0, 1, 2, 3, 4, 10, 11, 13})  # none, RLE, ZIPS, ZIP, PIZ, HTJ2K, ZSTD
_RANDOM_Y = 2  # line order: tiles in any order, so in rising order too
_LEVEL_MODE = 0x0F  # lower half of the tile description's last byte
_UNWANTED = "preview"  # the only attribute that shows the picture


@dataclass(frozen=True)
class ExrSettings(Carried):
    """What an EXR is written back with."""

    header: ExrHeader
    color: tuple[str, ...]
    """Names of the colour channels."""
    others: Mapping[str, NDArray[Any]]
    """Every other channel (H, W)."""


def read_header(file: BinaryIO) -> Header:
    """Read the size, and see that the picture is of a kind that can be decoded."""
    _library()
    header = read_exr_header(file)
    _check(header)
    left, top, right, bottom = header.window
    return Header("exr", right - left + 1, bottom - top + 1)


def decode(data: bytes) -> StillImage:
    """Decode an EXR of one flat part."""
    library = _library()
    header = read_exr_header(io.BytesIO(data))
    color = _check(header)
    check_whole(data, header)
    with library.File(io.BytesIO(data), separate_channels=True) as file:
        if not file.parts:
            raise ValueError("its pixels are damaged")
        planes = {name: channel.pixels for name, channel in file.channels().items()}
    pixels = np.stack([planes.pop(name) for name in color], axis=2)
    model: ColorModel = "rgb" if len(color) == 3 else "grey"
    settings = ExrSettings(header, color, planes)
    encoded = None if header.value("compression")[0] in _LOSSLESS else data
    bits = pixels.dtype.itemsize * 8
    return StillImage(pixels, bits, model, settings, "exr", _losses(header, color), encoded, LINEAR)


def encode(image: StillImage) -> bytes:
    """Encode a picture in its source's arrangement, and put the source's header before it."""
    settings = image.carried
    assert isinstance(settings, ExrSettings)
    planes = np.moveaxis(image.pixels, 2, 0)
    channels = dict(settings.others) | dict(zip(settings.color, planes, strict=True))
    library = _library()
    channels = {
        # B44 stores such channels another way, and the source's header will tell readers so
        channel.name: library.Channel(
            np.ascontiguousarray(channels[channel.name]), *channel.step, channel.is_perceptual
        )
        for channel in settings.header.channels
    }
    file = io.BytesIO()
    library.File(_write_options(library, settings.header), channels).write(file)
    kept = tuple(a for a in settings.header.attributes if a.name != _UNWANTED)
    made = file.getvalue()
    written = read_exr_header(io.BytesIO(made))
    return with_header(made, written, replace(settings.header, attributes=kept))


def _library() -> Any:
    """Import OpenEXR, or say how to get it."""
    need = "reading EXR needs OpenEXR 3.5 or later: pip install 'david-cli[exr]'"
    try:
        import OpenEXR
    except ImportError as err:
        raise InputError(need) from err
    if tuple(map(int, OpenEXR.__version__.split(".")[:2])) < _OLDEST:
        raise InputError(need)
    return OpenEXR


def _check(header: ExrHeader) -> tuple[str, ...]:
    """Return the names of the colour channels, or raise ValueError where there is no way."""
    channels = {channel.name: channel for channel in header.channels}
    if list(channels) != sorted(channels):
        raise ValueError("its channels are not in alphabetical order")
    left, top, right, bottom = header.window
    if right < left or bottom < top:
        raise ValueError("its data window is empty")
    if any(channel.step != (1, 1) for channel in channels.values()):
        raise ValueError(
            "channels of fewer samples than pixels (luminance and chroma) are not read"
        )
    if header.tiled and header.value("tiles")[8] & _LEVEL_MODE:
        raise ValueError("it has smaller copies of the picture (mipmaps); save it without them")
    color = _color_names(header.channels)
    types = {channels[name].type for name in color}
    if len(types) > 1 or "u4" in types:
        raise ValueError("its colour channels must be all half or all float")
    return color


def _color_names(channels: tuple[Channel, ...]) -> tuple[str, ...]:
    """R, G and B, or Y; those of a layer only where there is no doubt which one is the picture."""
    names = {channel.name for channel in channels}
    layers = _layers(channels)
    if "" not in layers and "Y" in names:
        return ("Y",)
    if "" in layers or len(layers) == 1:
        layer = "" if "" in layers else layers[0]
        return (layer + "R", layer + "G", layer + "B")
    raise ValueError(f"no channels R, G and B, and no Y, among {', '.join(sorted(names))}")


def _layers(channels: tuple[Channel, ...]) -> list[str]:
    """Prefixes, "" for the main layer, that have R, G and B."""
    names = {channel.name for channel in channels}
    prefixes = sorted(name[:-1] for name in names if name == "R" or name.endswith(".R"))
    return [p for p in prefixes if {p + "G", p + "B"} <= names]


def _losses(header: ExrHeader, color: tuple[str, ...]) -> tuple[str, ...]:
    losses = []
    if any(attribute.name == _UNWANTED for attribute in header.attributes):
        losses.append("the preview shows the old picture and is dropped")
    unsharp = [layer[:-1] for layer in _layers(header.channels) if layer + "R" not in color]
    if unsharp:
        losses.append(f"further layers stay as they are, not sharpened: {', '.join(unsharp)}")
    return tuple(losses)


def _write_options(library: Any, header: ExrHeader) -> dict[str, Any]:
    """What the library must know to arrange chunks as the header says."""
    left, top, right, bottom = header.window
    window = (np.array([left, top], np.int32), np.array([right, bottom], np.int32))
    order = header.value("lineOrder")[0]
    options: dict[str, Any] = {
        "compression": library.Compression(header.value("compression")[0]),
        "dataWindow": window,
        "displayWindow": window,
        "lineOrder": library.LineOrder(0 if order == _RANDOM_Y else order),
        "type": library.tiledimage if header.tiled else library.scanlineimage,
    }
    for attribute in header.attributes:
        if attribute.name == "dwaCompressionLevel":
            options[attribute.name] = float(np.frombuffer(attribute.value, "<f4")[0])
    if header.tiled:
        tiles = library.TileDescription()
        tiles.xSize, tiles.ySize = np.frombuffer(header.value("tiles")[:8], "<u4").tolist()
        options["tiles"] = tiles
    return options
