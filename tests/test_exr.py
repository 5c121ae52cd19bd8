"""OpenEXR: pixels against the library and FFmpeg, attributes against a parser written here."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from david_cli.errors import InputError
from david_cli.images import exr as module
from david_cli.images import read_image, read_image_header, with_change, write_image
from david_cli.transfer import LINEAR

OpenEXR = pytest.importorskip("OpenEXR")

HEIGHT, WIDTH = 21, 37
LOSSLESS = ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K256", "HTJ2K32", "ZSTD"]
LOSSY = ["PXR24", "B44", "B44A", "DWAA", "DWAB", "LJ2K"]


def noise(dtype: str = "f2", seed: int = 0) -> NDArray[Any]:
    """Light of all sizes, with the awkward ones in it."""
    rng = np.random.default_rng(seed)
    plane = rng.standard_normal((HEIGHT, WIDTH)) * 10.0 ** rng.integers(-5, 4, (HEIGHT, WIDTH))
    plane = plane.astype(dtype)
    plane[0, :5] = [0.0, -0.0, 1.0, np.finfo(dtype).max, np.finfo(dtype).tiny]
    return plane


def exr_bytes(channels: dict[str, Any], **header: Any) -> bytes:
    options = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | header
    file = io.BytesIO()
    OpenEXR.File(options, dict(channels)).write(file)  # it puts its own objects into the dictionary
    return file.getvalue()


def rgb(dtype: str = "f2") -> dict[str, Any]:
    return {name: noise(dtype, seed) for seed, name in enumerate("RGB")}


def compression_of(name: str) -> Any:
    kind = getattr(OpenEXR, f"{name}_COMPRESSION", None)
    return kind if kind is not None else pytest.skip(f"this OpenEXR has no {name}")


def tiles(width: int, height: int) -> dict[str, Any]:
    description = OpenEXR.TileDescription()
    description.xSize, description.ySize = width, height
    return {"type": OpenEXR.tiledimage, "tiles": description}


def planes(data: bytes) -> dict[str, NDArray[Any]]:
    file = OpenEXR.File(io.BytesIO(data), separate_channels=True)
    return {name: channel.pixels for name, channel in file.channels().items()}


def attributes(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [(name, kind, value) for name, kind, value, _ in _attributes(data)]


def _attributes(data: bytes) -> Iterator[tuple[bytes, bytes, bytes, int]]:
    position = 8
    while data[position]:
        name, kind, _ = data[position:].split(b"\0", 2)
        position += len(name) + len(kind) + 2
        (length,) = struct.unpack_from("<i", data, position)
        position += 4 + length
        yield name, kind, data[position - length : position], position


def with_attribute(data: bytes, name: bytes, kind: bytes, value: bytes) -> bytes:
    """Put an attribute at the header's end, and move the table of chunks with it."""
    *_, (_, _, _, end) = _attributes(data)
    more = name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value
    table, position, first = [], end + 1, len(data)
    while position < first:
        table.append(struct.unpack_from("<Q", data, position)[0])
        first, position = min(first, table[-1]), position + 8
    moved = b"".join(struct.pack("<Q", offset + len(more)) for offset in table)
    return data[:end] + more + b"\0" + moved + data[position:]


def through(folder: Path, data: bytes, *, change: float = 0.0) -> tuple[bytes, Any]:
    """Read, change everywhere by as much light, write; what was written, and the picture."""
    (folder / "in.exr").write_bytes(data)
    image = read_image(folder / "in.exr")
    step = np.full((3, image.height, image.width), change, np.float32)
    image = with_change(image, step)
    # never a copy of the file: what is asked for is that the pixels written are the same
    (folder / "out.exr").write_bytes(module.encode(image))
    return (folder / "out.exr").read_bytes(), image


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("arrangement", [{}, tiles(16, 8)])
def test_pixels_and_header_are_the_same(
    tmp_path: Path, dtype: str, compression: str, arrangement: dict[str, Any]
) -> None:
    kind = compression_of(compression)
    source = rgb(dtype)
    data = exr_bytes(source, compression=kind, **arrangement)
    written, image = through(tmp_path, data)
    assert (image.bits, image.transfer, image.losses) == (16 if dtype == "f2" else 32, LINEAR, ())
    assert attributes(written) == attributes(data)
    for name, plane in planes(written).items():
        assert plane.tobytes() == source[name].tobytes()
        assert plane.dtype == source[name].dtype


def test_all_channels_and_attributes_are_kept(tmp_path: Path) -> None:
    ids = np.random.default_rng(9).integers(0, 1 << 32, (HEIGHT, WIDTH), dtype=np.uint32)
    others = {"A": noise(seed=5), "Z": noise("f4", 6), "object.id": ids, "diffuse.R": noise(seed=7)}
    header = {
        "dataWindow": (np.array([-3, 5], np.int32), np.array([WIDTH - 4, HEIGHT + 4], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([99, 49], np.int32)),
        "chromaticities": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329),
        "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, 1, 0, 1, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8),
        "pixelAspectRatio": 2.0,
        "owner": "me",
    }
    data = exr_bytes(rgb() | others, **header)
    data = with_attribute(data, b"studioThing", b"studio", bytes(range(40)))
    data = with_attribute(data, b"framesPerSecond", b"rational", struct.pack("<iI", 24000, 1001))
    written, image = through(tmp_path, data, change=0.25)
    assert image.losses == ()
    assert attributes(written) == attributes(data)
    assert (b"studioThing", b"studio", bytes(range(40))) in attributes(written)
    before, after = planes(data), planes(written)
    assert before.keys() == after.keys()
    for name in before:
        changed = after[name].tobytes() != before[name].tobytes()
        assert changed == (name in "RGB"), name


@pytest.mark.parametrize("order", ["INCREASING_Y", "DECREASING_Y"])
def test_line_order_is_kept(tmp_path: Path, order: str) -> None:
    data = exr_bytes(rgb(), lineOrder=getattr(OpenEXR, order))
    written, _ = through(tmp_path, data)
    assert attributes(written) == attributes(data)
    assert planes(written)["G"].tobytes() == noise(seed=1).tobytes()


def test_tiles_in_any_order(tmp_path: Path) -> None:
    data = exr_bytes(rgb(), **tiles(16, 16))
    place = data.index(b"lineOrder\0lineOrder\0") + len(b"lineOrder\0lineOrder\0") + 4
    data = data[:place] + b"\2" + data[place + 1 :]
    written, _ = through(tmp_path, data)
    assert attributes(written) == attributes(data)
    assert planes(written)["B"].tobytes() == noise(seed=2).tobytes()


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_change_is_added_in_linear_light(tmp_path: Path, dtype: str) -> None:
    source = {name: plane / 64 for name, plane in rgb(dtype).items()}
    written, _ = through(tmp_path, exr_bytes(source), change=-0.375)
    for name, plane in planes(written).items():
        wanted = source[name].astype(np.float64) - np.float64(0.375)
        eps = np.finfo(dtype).eps
        assert np.abs(plane - wanted).max() <= 0.51 * eps * np.abs(wanted).max()
        assert (plane < 0).any() and (plane > 1).any()


def test_nan_and_infinity_stay_and_nothing_becomes_one(tmp_path: Path) -> None:
    source = rgb()
    source["R"][3, 3:6] = [np.nan, np.inf, -np.inf]
    source["G"][:3, :3] = np.nan
    data = exr_bytes(source)
    (tmp_path / "in.exr").write_bytes(data)
    image = read_image(tmp_path / "in.exr")
    from david_cli.images import image_to_rgb

    shown = image_to_rgb(image)
    assert np.isfinite(shown).all()
    around = source["R"][2:5, 2:5].astype(np.float64)
    assert shown[0, 3, 3] == np.float32(around[np.isfinite(around)].mean())
    assert shown[1, 0, 0] == 0
    written, _ = through(tmp_path, data, change=60000)
    for name, plane in planes(written).items():
        bad = ~np.isfinite(source[name])
        assert plane[bad].tobytes() == source[name][bad].tobytes()
        assert np.isfinite(plane[~bad]).all()


@pytest.mark.parametrize("compression", LOSSY)
def test_lossy_files_are_copied_where_nothing_changes(tmp_path: Path, compression: str) -> None:
    kind = compression_of(compression)
    smooth = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    data = exr_bytes({name: smooth.astype("f2") for name in "RGB"}, compression=kind)
    (tmp_path / "in.exr").write_bytes(data)
    image = read_image(tmp_path / "in.exr")
    write_image(tmp_path / "out.exr", with_change(image, np.zeros((3, HEIGHT, WIDTH), np.float32)))
    assert (tmp_path / "out.exr").read_bytes() == data
    written, changed = through(tmp_path, data, change=0.25)
    assert attributes(written) == attributes(data)
    assert np.abs(planes(written)["R"].astype(float) - changed.pixels[:, :, 0]).mean() < 0.01


@pytest.mark.parametrize("compression", ["B44", "B44A"])
def test_channels_marked_perceptual_are_written_as_such(tmp_path: Path, compression: str) -> None:
    """B44 stores those channels as logarithms, and readers undo it because the header says so."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = (0.5 + 0.4 * np.sin(x / 9) * np.cos(y / 7)).astype("f2")
    source = {name: OpenEXR.Channel(smooth.copy(), 1, 1, name != "G") for name in "ARGB"}
    data = exr_bytes(source, compression=compression_of(compression))
    written, changed = through(tmp_path, data, change=0.25)
    assert attributes(written) == attributes(data)
    for index, name in enumerate("RGB"):
        assert np.abs(planes(written)[name] - changed.pixels[:, :, index]).max() < 0.05, name
    assert np.abs(planes(written)["A"] - smooth).max() < 0.05


def test_luminance_alone_takes_luma(tmp_path: Path) -> None:
    (tmp_path / "in.exr").write_bytes(exr_bytes({"Y": noise("f4"), "A": noise()}))
    image = read_image(tmp_path / "in.exr")
    step = np.zeros((3, HEIGHT, WIDTH), np.float32)
    step[2] = 1
    moved = planes(module.encode(with_change(image, step)))
    assert np.allclose(moved["Y"], noise("f4") + np.float32(0.0722), rtol=1e-6)
    assert moved["A"].tobytes() == noise().tobytes()


def test_layers(tmp_path: Path) -> None:
    layered = {f"{layer}.{c}": noise(seed=i) for layer in ("a", "b") for i, c in enumerate("RGB")}
    written, image = through(tmp_path, exr_bytes(rgb() | layered), change=0.5)
    assert image.losses == ("further layers stay as they are, not sharpened: a, b",)
    assert planes(written)["a.R"].tobytes() == noise(seed=0).tobytes()
    only = {name: plane for name, plane in layered.items() if name.startswith("a.")}
    written, image = through(tmp_path, exr_bytes(only), change=0.5)
    assert image.losses == () and planes(written)["a.R"].tobytes() != noise().tobytes()
    (tmp_path / "in.exr").write_bytes(exr_bytes(layered))
    with pytest.raises(InputError, match=r"no channels R, G and B.*a\.B, a\.G"):
        read_image_header(tmp_path / "in.exr")


def test_preview_is_listed(tmp_path: Path) -> None:
    preview = struct.pack("<II", 1, 1) + bytes(4)
    data = with_attribute(exr_bytes(rgb()), b"preview", b"preview", preview)
    written, image = through(tmp_path, data)
    assert image.losses == ("the preview shows the old picture and is dropped",)
    assert attributes(written) == [a for a in attributes(data) if a[0] != b"preview"]
    assert planes(written)["R"].tobytes() == noise().tobytes()


@pytest.mark.parametrize("compression", ["NO", "ZIP"])
def test_written_files_agree_with_ffmpeg(tmp_path: Path, compression: str) -> None:
    kind = getattr(OpenEXR, f"{compression}_COMPRESSION")
    small = {name: np.abs(plane) / np.float32(1e5) for name, plane in rgb("f4").items()}
    through(tmp_path, exr_bytes(small, compression=kind), change=0.125)
    with av.open(tmp_path / "out.exr") as container:
        frame = next(container.decode(video=0))
        assert frame.format.name.startswith("gbrpf32")
        for index, name in enumerate("GBR"):
            plane = np.frombuffer(frame.planes[index], "<f4").reshape(HEIGHT, -1)[:, :WIDTH]
            wanted = (small[name] + np.float32(0.125)).astype("<f4")
            np.testing.assert_array_equal(plane, wanted)


@settings(deadline=None, max_examples=30)
@given(
    hnp.arrays(
        st.sampled_from([np.dtype("f2"), np.dtype("f4")]),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)),
    )
)
def test_any_bits_come_through(pixels: NDArray[Any]) -> None:
    """NaN of any kind, infinities, subnormal numbers and both zeros."""
    data = exr_bytes({c: np.ascontiguousarray(pixels[:, :, i]) for i, c in enumerate("RGB")})
    image = module.decode(data)
    assert with_change(image, np.zeros((3, *pixels.shape[:2]), np.float32)) is image
    assert module.decode(module.encode(image)).pixels.tobytes() == pixels.tobytes()


def refused(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    for function in (read_image_header, read_image):
        with pytest.raises(InputError, match=words) as caught:
            function(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_what_cannot_be_read_is_refused_by_its_header(tmp_path: Path) -> None:
    path, data = tmp_path / "in.exr", exr_bytes(rgb())
    parts = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File([OpenEXR.Part(dict(header), rgb(), name) for name in ("l", "r")]).write(parts)
    refused(path, parts.getvalue(), "several parts")
    refused(path, data[:5] + bytes([data[5] | 0x08]) + data[6:], "deep")
    levels = tiles(16, 16)
    levels["tiles"].mode = OpenEXR.MIPMAP_LEVELS
    refused(path, exr_bytes(rgb(), **levels), "mipmap")
    refused(path, exr_bytes({"Z": noise("f4")}), "no channels R, G and B")
    refused(path, exr_bytes(rgb() | {"R": noise("f4")}), "all half or all float")
    place = data.index(b"B\0\1\0\0\0")
    refused(path, data[:place] + b"S" + data[place + 1 :], "alphabetical")
    step = data.index(b"G\0\1\0\0\0\0\0\0\0\1\0\0\0") + 10
    refused(path, data[:step] + b"\2" + data[step + 1 :], "fewer samples than pixels")


@pytest.mark.parametrize("arrangement", [{}, tiles(16, 8)])
def test_cut_files_are_input_errors(tmp_path: Path, arrangement: dict[str, Any]) -> None:
    data = exr_bytes(rgb(), **arrangement)
    path = tmp_path / "in.exr"
    for length in (4, 7, 60, 200, len(data) // 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"in\.exr.*(ends|cut|header)") as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


def test_flipped_bits_never_escape_as_other_errors(tmp_path: Path) -> None:
    rng, data, path = np.random.default_rng(3), exr_bytes(rgb()), tmp_path / "in.exr"
    for _ in range(60):
        damaged = bytearray(data)
        damaged[int(rng.integers(min(len(data), 600)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            assert read_image(path).pixels.ndim == 3
        except InputError:
            continue


def test_absent_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.exr").write_bytes(exr_bytes(rgb()))
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    for function in (read_image_header, read_image):
        with pytest.raises(InputError, match=r"in\.exr.*pip install 'david-cli\[exr\]'") as caught:
            function(tmp_path / "in.exr")
        assert "remove or replace" not in str(caught.value)


@pytest.mark.parametrize(("release", "fits"), [("3.4.17", False), ("3.10.0", True), ("4.0", True)])
def test_an_old_library_is_told_by_its_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, fits: bool
) -> None:
    (tmp_path / "in.exr").write_bytes(exr_bytes(rgb()))
    monkeypatch.setattr(OpenEXR, "__version__", release)
    if fits:
        assert read_image(tmp_path / "in.exr").width == WIDTH
        return
    with pytest.raises(InputError, match=r"in\.exr.*3\.5 or later: pip install"):
        read_image_header(tmp_path / "in.exr")
