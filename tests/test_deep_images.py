"""Samples of 32 bits and floats in TIFF, and what a change does to floats of any kind."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageCms

from david_cli.images import StillImage, image_to_rgb, read_image, with_change, write_image
from david_cli.images.png import PngChunks
from david_cli.transfer import LINEAR, PQ, UNSPECIFIED

HEIGHT, WIDTH = 19, 27
KINDS = ["u4", "f2", "f4"]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def samples(kind: str, channels: int = 3) -> NDArray[Any]:
    rng = np.random.default_rng(channels)
    shape = (HEIGHT, WIDTH, channels)
    if kind == "u4":
        return rng.integers(0, 1 << 32, shape, dtype=np.uint32)
    return (rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 4, shape)).astype(kind)


def through(folder: Path, *, change: float = 0.0) -> tuple[NDArray[Any], StillImage]:
    image = read_image(folder / "in.tif")
    step = np.full((3, image.height, image.width), change, np.float32)
    image = with_change(image, step)
    write_image(folder / "out.tif", image)
    return tifffile.imread(folder / "out.tif"), image


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 5},
    {"compression": "zlib", "predictor": False, "byteorder": ">"},
    {"compression": "zlib", "predictor": True, "byteorder": ">", "bigtiff": True},
    {"compression": "zstd", "tile": (16, 16), "predictor": True},
    {"planarconfig": "separate"},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiff_keeps_samples_and_layout(
    tmp_path: Path, kind: str, channels: int, layout: dict[str, Any]
) -> None:
    source = samples(kind, channels)
    stored = source[:, :, 0] if channels == 1 else source
    if channels > 1 and layout.get("planarconfig"):
        stored = np.moveaxis(source, 2, 0)
    options = {k: v for k, v in layout.items() if channels > 1 or k != "planarconfig"}
    photometric = "minisblack" if channels == 1 else "rgb"
    tags = [(65000, 2, 5, "note", True)]
    options |= {"photometric": photometric, "metadata": None, "extratags": tags}
    tifffile.imwrite(tmp_path / "in.tif", stored, **options)
    written, image = through(tmp_path)
    assert (image.bits, image.losses) == (source.dtype.itemsize * 8, ())
    assert image.transfer == (UNSPECIFIED if kind == "u4" else LINEAR)
    assert written.tobytes() == stored.tobytes()
    before, after = (tifffile.TiffFile(tmp_path / n) for n in ("in.tif", "out.tif"))
    with before, after:
        for field in ("compression", "predictor", "sampleformat", "extrasamples", "planarconfig"):
            assert getattr(after.pages[0], field) == getattr(before.pages[0], field), field
        for field in ("rowsperstrip", "tilewidth", "tilelength", "bitspersample"):
            assert getattr(after.pages[0], field) == getattr(before.pages[0], field), field
        assert after.pages[0].tags[65000].value == "note"
        assert (after.byteorder, after.is_bigtiff) == (before.byteorder, before.is_bigtiff)


@pytest.mark.parametrize("kind", KINDS)
def test_tiff_change_is_that_of_float64(tmp_path: Path, kind: str) -> None:
    source = samples(kind, 4)
    tifffile.imwrite(tmp_path / "in.tif", source, photometric="rgb", extrasamples=[2])
    written, image = through(tmp_path, change=0.125)
    wanted = source[:, :, :3].astype(np.float64) + 0.125 * image.white
    error = np.abs(written[:, :, :3] - np.minimum(wanted, image.white if kind == "u4" else np.inf))
    limit = 0.5 if kind == "u4" else 0.51 * np.finfo(kind).eps * np.abs(wanted)
    assert (error <= limit).all()
    assert written[:, :, 3].tobytes() == source[:, :, 3].tobytes()


@pytest.mark.parametrize(
    "tag", [{"iccprofile": ICC}, {"extratags": [(301, 3, 4, (0, 1, 2, 3), True)]}]
)
def test_tiff_floats_that_are_described_are_taken_as_they_are(
    tmp_path: Path, tag: dict[str, Any]
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", samples("f4"), photometric="rgb", **tag)
    assert read_image(tmp_path / "in.tif").transfer == UNSPECIFIED


def test_png_says_its_transfer_as_video_does(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    assert read_image(tmp_path / "in.png").transfer == UNSPECIFIED
    body = b"cICP" + bytes((9, 16, 0, 1))
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "in.png").write_bytes(data[:33] + chunk + data[33:])
    assert read_image(tmp_path / "in.png").transfer == PQ


floats = st.sampled_from([np.dtype("f2"), np.dtype("f4")]).flatmap(
    lambda kind: hnp.arrays(kind, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(4)))
)


def picture(pixels: NDArray[Any]) -> StillImage:
    bits = pixels.dtype.itemsize * 8
    return StillImage(pixels, bits, "rgb", PngChunks((), ()), "tiff", transfer=LINEAR)


@given(floats, st.floats(-(2.0**100), 2.0**100, width=32))
def test_no_change_makes_or_moves_what_is_no_number(pixels: NDArray[Any], change: float) -> None:
    image = picture(pixels)
    height, width = pixels.shape[:2]
    moved = with_change(image, np.full((3, height, width), change, np.float32)).pixels
    finite = np.isfinite(pixels)
    assert np.isfinite(moved[finite]).all()
    assert moved[~finite].tobytes() == pixels[~finite].tobytes()
    assert moved[:, :, 3].tobytes() == pixels[:, :, 3].tobytes()
    assert np.isfinite(image_to_rgb(image)).all()


@given(floats)
def test_no_change_gives_the_same_bits(pixels: NDArray[Any]) -> None:
    image = picture(pixels)
    nothing = np.zeros((3, *pixels.shape[:2]), np.float32)
    assert with_change(image, nothing) is image
    assert with_change(image, nothing + 1, strength=0) is image


def test_what_is_no_number_is_shown_as_its_neighbours() -> None:
    pixels = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    wanted = np.moveaxis(pixels, 2, 0).copy()
    around = [
        pixels[y, x, 1] for y in (0, 1, 2) for x in (1, 2, 3) if (y, x) not in ((1, 2), (0, 1))
    ]
    pixels[1, 2, 1], pixels[0, 1, 1] = np.nan, np.inf
    shown = image_to_rgb(picture(pixels))
    assert shown[1, 1, 2] == np.float32(np.mean(around))
    shown[1, 1, 2], shown[1, 0, 1] = wanted[1, 1, 2], wanted[1, 0, 1]
    np.testing.assert_array_equal(shown, wanted)
