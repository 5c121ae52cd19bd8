"""Still images: what goes in comes out, and what cannot is listed.

The oracles are written here or are other decoders: a raw PNG parser, Pillow and FFmpeg.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin

from david_cli.errors import InputError, OutputError
from david_cli.images import (
    StillImage,
    image_to_rgb,
    list_frames,
    read_image,
    read_image_header,
    with_change,
    write_image,
)

HEIGHT, WIDTH = 19, 27
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>notes</x:xmpmeta>"
ORIENTATION, EXIF_IFD, GPS_IFD, EXPOSURE, LATITUDE = 274, 0x8769, 0x8825, 33434, 2


def picture(channels: int, bits: int = 8, *, height: int = HEIGHT, width: int = WIDTH) -> Any:
    """Random codes (H, W, C): nothing in the way may assume a smooth picture."""
    rng = np.random.default_rng(channels * 100 + bits)
    dtype = np.uint8 if bits <= 8 else np.uint16
    return rng.integers(0, 1 << bits, (height, width, channels)).astype(dtype)


def smooth(channels: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:64, 0:96]
    waves = [
        128 + 70 * np.sin(x / (17 + 3 * c)) * np.cos(y / (23 - 2 * c)) for c in range(channels)
    ]
    return np.stack(waves, axis=2).astype(np.uint8)


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = 6
    tags[271] = "Maker"
    tags[EXIF_IFD] = {EXPOSURE: 0.01, 36867: "2020:01:02 03:04:05"}
    tags[GPS_IFD] = {1: "N", LATITUDE: (47.0, 30.0, 15.5)}
    loaded = Image.Exif()  # Pillow's TIFF writer wants directories that have been read
    loaded.load(tags.tobytes())
    return loaded


def round_trip(path: Path, *, strength: float = 0.0, change: float = 0.1) -> StillImage:
    """Read, change, write as out<suffix> beside it, and return what was written."""
    image = read_image(path)
    step = np.full((3, image.height, image.width), change, dtype=np.float32)
    image = with_change(image, step, strength)
    write_image(path.with_name("out" + path.suffix), image)
    return image


def ffmpeg_pixels(path: Path, pixel_format: str) -> NDArray[Any]:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == pixel_format
        return frame.to_ndarray()


# --- a PNG writer and reader of our own, from the specification ---------------------------------

COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG colour type


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_bytes(
    codes: NDArray[Any],
    bits: int,
    color_type: int,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    height, width, channels = codes.shape
    fields = "".join(format(int(code), f"0{bits}b") for code in codes.reshape(-1))
    row = width * channels * bits
    rows = (fields[start : start + row] for start in range(0, len(fields), row))
    packed = (int(r.ljust(-(-row // 8) * 8, "0"), 2).to_bytes(-(-row // 8), "big") for r in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in packed))
    parts = (chunk(b"IHDR", header), before, chunk(b"IDAT", data), after, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        name, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert data[position + 8 + length :][:4] == struct.pack(">I", zlib.crc32(name + body))
        yield name, body
        position += length + 12


def png_pixels(data: bytes) -> tuple[NDArray[Any], int, int]:
    """Codes (H, W, C), bits and colour type."""
    chunks = list(png_chunks(data))
    width, height, bits, color_type, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    assert not interlace
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color_type]
    raw = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    step, length = max(channels * bits // 8, 1), -(-width * channels * bits // 8)
    previous, fields = bytearray(length), []
    for y in range(height):
        line = raw[y * (length + 1) : (y + 1) * (length + 1)]
        previous = unfiltered(line[0], line[1:], previous, step)
        text = "".join(format(byte, "08b") for byte in previous)
        fields += [int(text[x * bits : (x + 1) * bits], 2) for x in range(width * channels)]
    return np.array(fields).reshape(height, width, channels), bits, color_type


def unfiltered(kind: int, line: bytes, above: bytearray, step: int) -> bytearray:
    out = bytearray(line)
    for i in range(len(line)):
        a = out[i - step] if i >= step else 0
        b, c = above[i], above[i - step] if i >= step else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        out[i] = (line[i] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
    return out


# --- arithmetic ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "bits"), [(1, 1), (1, 8), (2, 8), (3, 8), (4, 16), (3, 16)])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_known_network_matches_float64(
    tmp_path: Path, channels: int, bits: int, strength: float
) -> None:
    codes = picture(channels, bits)
    (tmp_path / "in.png").write_bytes(png_bytes(codes, bits, COLOR_TYPES[channels]))
    image = read_image(tmp_path / "in.png")
    rgb = image_to_rgb(image)
    assert rgb.shape == (3, HEIGHT, WIDTH) and rgb.dtype == np.float32
    out = with_change(image, (0.5 * rgb + 0.25) - rgb, strength).pixels

    colors = 1 if channels <= 2 else 3
    white = (1 << bits) - 1
    source = codes.astype(np.float64)
    wanted = source + strength * (0.25 * white - 0.5 * source)
    assert np.abs(out[:, :, :colors] - wanted[:, :, :colors]).max() <= 0.5 + 1e-2
    np.testing.assert_array_equal(out[:, :, colors:], codes[:, :, colors:])  # alpha
    if strength == 0:
        np.testing.assert_array_equal(out, codes)


def test_grey_takes_luma_and_codes_clip(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png_bytes(picture(1), 8, 0))
    image = read_image(tmp_path / "in.png")
    change = np.zeros((3, HEIGHT, WIDTH), np.float32)
    change[1] = 20 / 255
    expected = np.clip(np.rint(image.pixels + 20 * 0.7152), 0, 255)
    np.testing.assert_array_equal(with_change(image, change).pixels, expected)
    assert with_change(image, change + 9).pixels.min() == 255
    assert with_change(image, change - 9).pixels.max() == 0


def test_cmyk_change_shows_in_rgb(tmp_path: Path) -> None:
    inks = smooth(4)
    inks[:, :, 3] = 60
    Image.frombytes("CMYK", (96, 64), inks.tobytes()).save(tmp_path / "in.tif")
    image = read_image(tmp_path / "in.tif")
    before = image_to_rgb(image)
    wanted = before * np.float32(0.9)
    after = image_to_rgb(with_change(image, wanted - before))
    assert np.abs(after - wanted).max() < 1 / 255
    assert any("CMYK" in loss for loss in image.losses)


# --- PNG -----------------------------------------------------------------------------------------

PNG_KINDS = [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (2, 8), (2, 16), (3, 8), (3, 16), (4, 8)]
PNG_KINDS += [(4, 16)]


@pytest.mark.parametrize(("channels", "bits"), PNG_KINDS)
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (1, 1), (3, 2)])
def test_png_keeps_codes_depth_and_type(
    tmp_path: Path, channels: int, bits: int, size: tuple[int, int]
) -> None:
    codes = picture(channels, bits, height=size[0], width=size[1])
    path = tmp_path / "in.png"
    path.write_bytes(png_bytes(codes, bits, COLOR_TYPES[channels]))
    assert round_trip(path).losses == ()
    written, *kind = png_pixels((tmp_path / "out.png").read_bytes())
    assert kind == [bits, COLOR_TYPES[channels]]
    np.testing.assert_array_equal(written, codes)


def test_png_16_bit_change_agrees_with_ffmpeg(tmp_path: Path) -> None:
    codes = picture(3, 16) // 2
    (tmp_path / "in.png").write_bytes(png_bytes(codes, 16, 2))
    round_trip(tmp_path / "in.png", strength=1.0, change=1000 / 65535)
    np.testing.assert_array_equal(ffmpeg_pixels(tmp_path / "out.png", "rgb48be"), codes + 1000)


def test_png_metadata_is_kept_byte_for_byte(tmp_path: Path) -> None:
    profile = b"icc\0\0" + zlib.compress(ICC)
    before = [(b"iCCP", profile), (b"gAMA", struct.pack(">I", 45455)), (b"sBIT", b"\x0a\x0a\x0a")]
    before += [(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)), (b"tEXt", b"Author\0me")]
    after = [(b"eXIf", exif().tobytes()[6:]), (b"iTXt", b"Title\0\0\0\0\0\xc3\xa9")]
    data = png_bytes(
        *(picture(3, 16), 16, 2),
        b"".join(chunk(*c) for c in before),
        b"".join(chunk(*c) for c in after),
    )
    (tmp_path / "in.png").write_bytes(data)
    assert round_trip(tmp_path / "in.png", strength=1.0).losses == ()
    written = list(png_chunks((tmp_path / "out.png").read_bytes()))
    names = [name for name, _ in written]
    first, last = names.index(b"IDAT"), len(names) - names[::-1].index(b"IDAT")
    assert written[1:first] == before and written[last:-1] == after


def test_png_stale_chunks_are_listed(tmp_path: Path) -> None:
    stale = [(b"tIME", bytes(7)), (b"caBX", b"signature"), (b"vpAg", b"private")]
    damaged = bytearray(chunk(b"tEXt", b"Comment\0x"))
    damaged[-1] ^= 1
    before = b"".join(chunk(*c) for c in stale) + bytes(damaged)
    (tmp_path / "in.png").write_bytes(png_bytes(picture(3), 8, 2, before))
    losses = round_trip(tmp_path / "in.png").losses
    assert [next(n for n in ("tIME", "caBX", "tEXt") if n in loss) for loss in losses] == [
        *("tIME", "caBX", "tEXt")
    ]
    names = [name for name, _ in png_chunks((tmp_path / "out.png").read_bytes())]
    assert names == [b"IHDR", b"vpAg", b"IDAT", b"IEND"]  # vpAg is private but safe to copy


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_png_palette_becomes_rgb(tmp_path: Path, bits: int, transparent: bool) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    alphas = np.arange(1 << bits, dtype=np.uint8)
    indices = picture(1, bits)
    before = chunk(b"PLTE", colors.tobytes())
    before += chunk(b"tRNS", alphas.tobytes()) if transparent else b""
    (tmp_path / "in.png").write_bytes(png_bytes(indices, bits, 3, before))
    losses = round_trip(tmp_path / "in.png").losses
    assert len(losses) == 1 and "palette" in losses[0]
    written, depth, color_type = png_pixels((tmp_path / "out.png").read_bytes())
    assert (depth, color_type) == (8, 6 if transparent else 2)
    np.testing.assert_array_equal(written[:, :, :3], colors[indices[:, :, 0]])
    if transparent:
        np.testing.assert_array_equal(written[:, :, 3], alphas[indices[:, :, 0]])


@pytest.mark.parametrize(("channels", "bits"), [(1, 4), (1, 16), (3, 8), (3, 16)])
def test_png_transparent_colour_becomes_alpha(tmp_path: Path, channels: int, bits: int) -> None:
    codes = picture(channels, bits)
    codes[2, 3] = codes[0, 0]
    key = struct.pack(f">{channels}H", *(int(c) for c in codes[0, 0]))
    data = png_bytes(codes, bits, COLOR_TYPES[channels], chunk(b"tRNS", key))
    (tmp_path / "in.png").write_bytes(data)
    losses = round_trip(tmp_path / "in.png").losses
    assert "alpha" in losses[0]
    written, depth, _ = png_pixels((tmp_path / "out.png").read_bytes())
    scale = ((1 << depth) - 1) // ((1 << bits) - 1)
    np.testing.assert_array_equal(written[:, :, :-1], codes.astype(int) * scale)
    opaque = (codes != codes[0, 0]).any(axis=2)
    np.testing.assert_array_equal(written[:, :, -1] > 0, opaque)


def test_png_animation_and_interlacing_are_listed(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(3)), Image.fromarray(255 - picture(3))]
    frames[0].save(tmp_path / "in.png", save_all=True, append_images=frames[1:])
    assert round_trip(tmp_path / "in.png").losses == ("animation: only the first picture is kept",)
    with Image.open(tmp_path / "out.png") as out:
        assert getattr(out, "n_frames", 1) == 1
        np.testing.assert_array_equal(np.array(out), picture(3))
    interlaced = bytes.fromhex(  # 1x1, grey, 8 bits, code 7, Adam7
        "89504e470d0a1a0a"
    ) + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1))
    interlaced += chunk(b"IDAT", zlib.compress(b"\0\7")) + chunk(b"IEND", b"")
    (tmp_path / "in.png").write_bytes(interlaced)
    assert "Adam7" in round_trip(tmp_path / "in.png").losses[0]
    assert png_pixels((tmp_path / "out.png").read_bytes())[0].tolist() == [[[7]]]


# --- JPEG ----------------------------------------------------------------------------------------


def save_jpeg(path: Path, mode: str = "RGB", **options: Any) -> None:
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    Image.frombytes(mode, (96, 64), smooth(channels).tobytes()).save(path, **options)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_unchanged_is_copied_byte_for_byte(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "in.jpg"
    save_jpeg(path, mode, quality=70)
    for strength, change in ((0.0, 0.5), (1.0, 1e-4)):
        assert round_trip(path, strength=strength, change=change).encoded is not None
        assert (tmp_path / "out.jpg").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("quality", [60, 99])
def test_jpeg_change_arrives(tmp_path: Path, mode: str, quality: int) -> None:
    save_jpeg(tmp_path / "in.jpg", mode, quality=quality)
    image = round_trip(tmp_path / "in.jpg", strength=0.5, change=0.1)
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.mode == mode
        written = np.array(out).reshape(image.pixels.shape)
    error = (written.astype(float) - image.pixels) ** 2
    assert 10 * np.log10(255**2 / error.mean()) > 42
    step = image.pixels.astype(float) - read_image(tmp_path / "in.jpg").pixels
    assert abs(step[:, :, 0].mean()) > 10


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_sampling_scan_and_segments(
    tmp_path: Path, subsampling: int, progressive: bool
) -> None:
    save_jpeg(
        tmp_path / "in.jpg",
        **{"subsampling": subsampling, "progressive": progressive, "quality": 98},
        **{"exif": exif(), "icc_profile": ICC, "dpi": (300, 299), "comment": b"note", "xmp": XMP},
    )
    assert round_trip(tmp_path / "in.jpg", strength=1.0).losses == ()
    with Image.open(tmp_path / "in.jpg") as before, Image.open(tmp_path / "out.jpg") as after:
        assert isinstance(after, JpegImagePlugin.JpegImageFile)
        assert after.info == before.info  # JFIF, EXIF, ICC, density, comment, progressive, XMP
        assert after.size == before.size == (96, 64)  # orientation 6 is not applied
        assert after.getexif()[ORIENTATION] == 6
        assert JpegImagePlugin.get_sampling(after) == subsampling
        assert sum(after.quantization[0]) <= sum(before.quantization[0])
        assert after.applist == before.applist


def test_jpeg_stored_as_rgb_stays_so(tmp_path: Path) -> None:
    save_jpeg(tmp_path / "in.jpg", keep_rgb=True, quality=95)
    round_trip(tmp_path / "in.jpg", strength=1.0, change=0.02)
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.info["adobe_transform"] == 0
        error = np.array(out).astype(float) - (smooth(3) + 0.02 * 255)
    assert np.abs(error).mean() < 3


def test_jpeg_losses_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "in.jpg"
    first, second = (Image.fromarray(smooth(3)) for _ in range(2))
    first.save(path, "MPO", save_all=True, append_images=[second])
    assert "further pictures" in round_trip(path, strength=1.0).losses[0]
    save_jpeg(path)
    path.write_bytes(path.read_bytes() + b"a trailer")
    assert "behind" in round_trip(path, strength=1.0).losses[0]
    credentials = b"\xff\xeb" + struct.pack(">H", 2 + 20) + b"JP\0\1\0\0\0\1\0\0\0\x10jumbc2pa"
    save_jpeg(path)
    path.write_bytes(path.read_bytes()[:2] + credentials + path.read_bytes()[2:])
    assert "C2PA" in round_trip(path, strength=1.0).losses[0]
    assert b"jumb" not in (tmp_path / "out.jpg").read_bytes()


# --- TIFF ----------------------------------------------------------------------------------------


def save_tiff(path: Path, codes: NDArray[Any], **options: Any) -> None:
    photometric = "rgb" if codes.shape[2] > 2 else "minisblack"
    array = codes[:, :, 0] if codes.shape[2] == 1 else codes
    if options.get("planarconfig") == "separate":
        array = np.moveaxis(array, 2, 0)
    options = {"photometric": photometric, "metadata": None, **options}
    if codes.shape[2] > 1:
        options = {"planarconfig": "contig"} | options
    if codes.shape[2] in (2, 4):
        options = {"extrasamples": ["unassalpha"]} | options
    tifffile.imwrite(path, array, **options)


TIFF_LAYOUTS: list[dict[str, Any]] = [
    {},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 4},
    {"compression": "zlib", "byteorder": ">"},
    {"compression": "zstd", "predictor": True, "bigtiff": True},
    {"compression": "packbits", "tile": (16, 16), "byteorder": ">", "bigtiff": True},
]
TIFF_CASES = [(channels, options) for channels in (1, 2, 3, 4) for options in TIFF_LAYOUTS]
TIFF_CASES += [(c, {"compression": "lzw", "planarconfig": "separate"}) for c in (2, 3, 4)]
TIFF_CASES += [(1, {"compression": "lzma", "photometric": "miniswhite"})]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("channels", "options"), TIFF_CASES)
def test_tiff_keeps_codes_and_layout(
    tmp_path: Path, channels: int, bits: int, options: dict[str, Any]
) -> None:
    codes = picture(channels, bits)
    save_tiff(tmp_path / "in.tif", codes, **options)
    image = round_trip(tmp_path / "in.tif")
    assert image.losses == ()
    white_is_zero = "photometric" in options
    shown = codes if not white_is_zero else (1 << bits) - 1 - codes
    np.testing.assert_array_equal(image.pixels, shown)
    before, after = (tifffile.TiffFile(tmp_path / name) for name in ("in.tif", "out.tif"))
    with before, after:
        np.testing.assert_array_equal(after.pages[0].asarray(), before.pages[0].asarray())
        for field in ("compression", "predictor", "photometric", "extrasamples", "planarconfig"):
            assert getattr(after.pages[0], field) == getattr(before.pages[0], field), field
        for field in ("rowsperstrip", "tilewidth", "tilelength", "bitspersample"):
            assert getattr(after.pages[0], field) == getattr(before.pages[0], field), field
        assert (after.byteorder, after.is_bigtiff) == (before.byteorder, before.is_bigtiff)


@pytest.mark.parametrize("compression", ["none", "lzw", "zlib"])
def test_tiff_16_bit_change_agrees_with_ffmpeg(tmp_path: Path, compression: str) -> None:
    codes = picture(3, 16) // 2
    save_tiff(tmp_path / "in.tif", codes, compression=compression, predictor=compression != "none")
    round_trip(tmp_path / "in.tif", strength=1.0, change=1000 / 65535)
    np.testing.assert_array_equal(ffmpeg_pixels(tmp_path / "out.tif", "rgb48le"), codes + 1000)


@pytest.mark.parametrize("endian", ["<", ">"])
def test_tiff_tags_are_kept(tmp_path: Path, endian: str) -> None:
    extra = [(700, 1, len(XMP), XMP, True), (33550, 12, 3, (1.0, 2.5, 3.0), True)]
    path = tmp_path / "in.tif"
    options = {"resolution": (300, 299.5), "resolutionunit": "CENTIMETER", "iccprofile": ICC}
    options |= {"description": "take 7", "software": "cam", "datetime": "2020:01:02 03:04:05"}
    save_tiff(path, picture(3, 16), byteorder=endian, extratags=extra, **options)
    assert round_trip(path, strength=1.0).losses == ()
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(tmp_path / "out.tif") as after:
        moved = {273, 279}  # where the strips are, and their lengths
        tags = [{t.code: t.value for t in f.pages[0].tags} for f in (before, after)]
        assert {k: v for k, v in tags[1].items() if k not in moved} == {
            k: v for k, v in tags[0].items() if k not in moved
        }
        assert tags[1][700] == XMP and tags[1][34675] == ICC


@pytest.mark.parametrize("big_endian", [False, True])
def test_tiff_exif_and_gps_are_kept(tmp_path: Path, big_endian: bool) -> None:
    path = tmp_path / "in.tif"
    Image.fromarray(picture(3)).save(path, exif=exif(), dpi=(72, 72), big_tiff=big_endian)
    assert round_trip(path, strength=1.0).losses == ()
    with Image.open(path) as before, Image.open(tmp_path / "out.tif") as after:
        old, new = before.getexif(), after.getexif()
        assert new[ORIENTATION] == 6 and after.size == before.size
        assert new.get_ifd(EXIF_IFD) == old.get_ifd(EXIF_IFD) != {}
        assert new.get_ifd(GPS_IFD) == old.get_ifd(GPS_IFD) != {}
        assert float(new.get_ifd(EXIF_IFD)[EXPOSURE]) == 0.01
        assert after.info["dpi"] == before.info["dpi"]


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_bilevel(tmp_path: Path, photometric: str) -> None:
    bits = picture(1, 1)[:, :, 0].astype(bool)
    tifffile.imwrite(tmp_path / "in.tif", bits, photometric=photometric, metadata=None)
    round_trip(tmp_path / "in.tif")
    with Image.open(tmp_path / "in.tif") as before, Image.open(tmp_path / "out.tif") as after:
        assert before.mode == after.mode == "1"
        np.testing.assert_array_equal(np.array(after), np.array(before))


def test_tiff_losses_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.stack([picture(3), 255 - picture(3)]), photometric="rgb")
    losses = round_trip(path).losses
    assert "description" in losses[0] and losses[1] == "only the first of 2 pages is kept"
    with tifffile.TiffFile(tmp_path / "out.tif") as out:
        assert len(out.pages) == 1
        np.testing.assert_array_equal(out.asarray(), picture(3))
    Image.fromarray(picture(3)).quantize(64).save(path)
    losses = round_trip(path).losses
    assert losses == ("palette colours become RGB",)
    with Image.open(path) as before, Image.open(tmp_path / "out.tif") as after:
        np.testing.assert_array_equal(np.array(after), np.array(before.convert("RGB")))
    Image.fromarray(picture(1)[:, :, 0] > 99).save(path, compression="group4")
    assert "compression" in round_trip(path).losses[0]
    with Image.open(path) as before, Image.open(tmp_path / "out.tif") as after:
        np.testing.assert_array_equal(np.array(after), np.array(before))


def test_tiff_with_jpeg_inside(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    save_tiff(path, smooth(3), compression="jpeg", compressionargs={"level": 90})
    round_trip(path)
    assert (tmp_path / "out.tif").read_bytes() == path.read_bytes()
    image = round_trip(path, strength=1.0, change=0.1)
    with tifffile.TiffFile(tmp_path / "out.tif") as out:
        assert out.pages[0].compression == tifffile.COMPRESSION.JPEG
    with Image.open(tmp_path / "out.tif") as out:
        assert np.abs(np.array(out.convert("RGB")).astype(float) - image.pixels).mean() < 3


# --- WebP and BMP --------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_lossless_stays_lossless(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "in.webp"
    options = {"exif": exif().tobytes(), "icc_profile": ICC, "xmp": XMP}
    codes = picture(channels)
    codes[:5, :, 3:] = 0  # colours under transparent pixels count too
    Image.fromarray(codes).save(path, lossless=True, exact=True, **options)
    assert round_trip(path, strength=0.0).losses == ()
    with Image.open(path) as before, Image.open(tmp_path / "out.webp") as after:
        np.testing.assert_array_equal(np.array(after), codes)
        for key in ("exif", "icc_profile", "xmp"):
            assert after.info[key] == before.info[key]
    assert b"VP8L" in (tmp_path / "out.webp").read_bytes()
    image = round_trip(path, strength=1.0, change=0.2)
    with Image.open(tmp_path / "out.webp") as after:
        np.testing.assert_array_equal(np.array(after), image.pixels)
        assert not np.array_equal(image.pixels, codes)


def test_webp_lossy_stays_lossy(tmp_path: Path) -> None:
    path = tmp_path / "in.webp"
    Image.fromarray(smooth(4)).save(path, quality=80, exif=exif().tobytes(), icc_profile=ICC)
    round_trip(path)
    assert (tmp_path / "out.webp").read_bytes() == path.read_bytes()
    image = round_trip(path, strength=1.0, change=0.1)
    assert image.losses == ()
    with Image.open(path) as before, Image.open(tmp_path / "out.webp") as after:
        assert after.info["exif"] == before.info["exif"]
        assert after.info["icc_profile"] == ICC
        written = np.array(after)
        np.testing.assert_array_equal(written[:, :, 3], np.array(before)[:, :, 3])
    assert np.abs(written.astype(float) - image.pixels)[:, :, :3].mean() < 3
    assert b"VP8L" not in (tmp_path / "out.webp").read_bytes()


def test_webp_animation_is_listed(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(3)), Image.fromarray(255 - picture(3))]
    frames[0].save(tmp_path / "in.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert round_trip(tmp_path / "in.webp").losses == ("animation: only the first picture is kept",)
    with Image.open(tmp_path / "out.webp") as out:
        assert getattr(out, "n_frames", 1) == 1
        np.testing.assert_array_equal(np.array(out.convert("RGB")), picture(3))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (1, 1)])
def test_bmp_keeps_pixels_and_resolution(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    source = Image.fromarray(picture(3, height=size[0], width=size[1])).convert(mode)
    source.save(tmp_path / "in.bmp", dpi=(300, 150))
    losses = round_trip(tmp_path / "in.bmp").losses
    assert ("palette colours become 24-bit RGB" in losses) == (mode == "P")
    with Image.open(tmp_path / "in.bmp") as before, Image.open(tmp_path / "out.bmp") as after:
        assert after.mode == ("RGB" if mode == "P" else mode)
        np.testing.assert_array_equal(np.array(after), np.array(before.convert(after.mode)))
        assert after.info["dpi"] == before.info["dpi"]


def test_bmp_alpha_is_kept(tmp_path: Path) -> None:
    codes = picture(4)
    header = struct.pack("<IiiHHIIiiII", 108, WIDTH, -HEIGHT, 1, 32, 3, 0, 2835, 2835, 0, 0)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 122 + codes.nbytes, 0, 0, 122) + header
    path = tmp_path / "in.bmp"
    path.write_bytes(data + codes[:, :, [2, 1, 0, 3]].tobytes())  # top row first
    assert round_trip(path).losses == ()
    written = ffmpeg_pixels(tmp_path / "out.bmp", "bgra")
    np.testing.assert_array_equal(written[:, :, [2, 1, 0, 3]], codes)
    with Image.open(tmp_path / "out.bmp") as out:
        np.testing.assert_array_equal(np.array(out), codes)


# --- files and folders ---------------------------------------------------------------------------


def sample_files(folder: Path) -> list[Path]:
    paths = [folder / f"a.{suffix}" for suffix in ("png", "jpg", "tif", "webp", "bmp")]
    for path in paths:
        Image.fromarray(smooth(3)).save(path)
    return paths


def test_headers_tell_kind_and_size(tmp_path: Path) -> None:
    headers = [read_image_header(path) for path in sample_files(tmp_path)]
    assert [h.kind for h in headers] == ["png", "jpeg", "tiff", "webp", "bmp"]
    assert {(h.width, h.height) for h in headers} == {(96, 64)}


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "in.jpg"
    path.write_bytes(png_bytes(picture(3, 16), 16, 2))
    round_trip(path)
    np.testing.assert_array_equal(
        png_pixels((tmp_path / "out.jpg").read_bytes())[0], picture(3, 16)
    )


def test_cut_files_are_input_errors(tmp_path: Path) -> None:
    for path in sample_files(tmp_path):
        data = path.read_bytes()
        for length in (0, 1, 9, 30, len(data) // 3, len(data) // 2, len(data) - 100):
            path.write_bytes(data[:length])
            with pytest.raises(InputError, match=path.name) as caught:
                read_image(path)
            assert "\n" not in str(caught.value)


def test_flipped_bits_never_escape_as_other_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for path in sample_files(tmp_path):
        data = path.read_bytes()
        for _ in range(30):
            damaged = bytearray(data)
            damaged[int(rng.integers(min(len(data), 400)))] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            try:
                image = read_image(path)
            except InputError:
                continue
            assert image.pixels.ndim == 3


def test_png_damaged_data_is_an_input_error(tmp_path: Path) -> None:
    data = bytearray(png_bytes(picture(3), 8, 2))
    data[data.index(b"IDAT") + 40] ^= 4
    (tmp_path / "in.png").write_bytes(data)
    assert read_image_header(tmp_path / "in.png").width == WIDTH
    with pytest.raises(InputError, match=r"IDAT.*damaged or cut"):
        read_image(tmp_path / "in.png")


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"GIF89a" + bytes(40)])
def test_other_content_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.png").write_bytes(content)
    for function in (read_image, read_image_header):
        with pytest.raises(InputError, match=r"in\.png"):
            function(tmp_path / "in.png")
        with pytest.raises(InputError, match="no such file"):
            function(tmp_path / "absent.png")


@pytest.mark.parametrize("kind", ["f8", "i2", "u8", "c8"])
def test_other_samples_of_tiff_are_refused_by_its_header(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((4, 5), kind))
    with pytest.raises(InputError, match=np.dtype(kind).name):
        read_image_header(tmp_path / "in.tif")


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png_bytes(picture(3), 8, 2))
    image = read_image(tmp_path / "in.png")
    with pytest.raises(OutputError, match=r"absent.*out\.png"):
        write_image(tmp_path / "absent" / "out.png", image)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError):
        write_image(tmp_path / "taken.png", image)
    write_image(tmp_path / "in.png", replace(image, pixels=255 - image.pixels))
    np.testing.assert_array_equal(read_image(tmp_path / "in.png").pixels, 255 - picture(3))
    assert sorted(os.listdir(tmp_path)) == ["in.png", "taken.png"]


def test_frames_in_natural_order(tmp_path: Path) -> None:
    frames = ["f1.png", "f2.PNG", "f10.jpeg", "f012.png", "f12.png", "F13.webp", "g.bmp"]
    others = [".f3.png", "._f1.png", "notes.txt", "Thumbs.db"]
    for name in frames + others:
        (tmp_path / name).touch()
    (tmp_path / "f5.png").mkdir()
    found, ignored = list_frames(tmp_path)
    assert [path.name for path in found] == frames
    assert {path.name for path in ignored} == {*others, "f5.png"}


def test_folder_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        list_frames(tmp_path / "absent")
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(InputError, match="not a folder"):
        list_frames(tmp_path / "clip.mp4")


def test_saved_picture_reads_the_same_from_memory(tmp_path: Path) -> None:
    """A decoder must not hold the file: Windows could not replace it."""
    (tmp_path / "in.tif").write_bytes(b"")
    buffer = io.BytesIO()
    Image.fromarray(picture(3)).save(buffer, "TIFF")
    (tmp_path / "in.tif").write_bytes(buffer.getvalue())
    image = read_image(tmp_path / "in.tif")
    (tmp_path / "in.tif").unlink()
    np.testing.assert_array_equal(image.pixels, picture(3))
