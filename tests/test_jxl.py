"""JPEG XL: samples against libjxl, the header's colours and orientation against bits set here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from david_cli.errors import InputError
from david_cli.images import jxl as module
from david_cli.images import read_image, read_image_header, with_change, write_image
from david_cli.images.jxl_header import JxlHeader, read_jxl_header, with_source_fields
from david_cli.transfer import HLG, LINEAR, PQ

HEIGHT, WIDTH = 14, 19
KINDS = [("u1", 8), ("u2", 10), ("u2", 12), ("u2", 16), ("f2", 16), ("f4", 32)]
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "


def enum(value: int) -> str:
    """A number as JPEG XL's Enum, in the order in which bits are read."""
    if value < 2:
        return f"{value:02b}"[::-1]
    base, bits, chosen = (2, 4, "01") if value < 18 else (18, 6, "11")
    return chosen + f"{value - base:0{bits}b}"[::-1]


def colors(primaries: int, transfer: int, *, white: int = 1, space: int = 0) -> str:
    """No default, no profile, colour space, white, primaries, transfer, relative intent."""
    return "0" + "0" + enum(space) + enum(white) + enum(primaries) + "0" + enum(transfer) + enum(1)


BT2100_PQ, BT2100_HLG, P3_SRGB = colors(9, 16), colors(9, 18), colors(11, 13)
LINEAR_SRGB, SRGB = colors(1, 8), "1"


def samples(kind: str, bits: int, channels: int = 3) -> NDArray[Any]:
    rng = np.random.default_rng(channels * 100 + bits)
    if kind[0] == "f":
        return rng.standard_normal((HEIGHT, WIDTH, channels)).astype(kind) * 2
    return rng.integers(0, 1 << bits, (HEIGHT, WIDTH, channels)).astype(kind)


def jxl_bytes(
    pixels: NDArray[Any],
    bits: int = 8,
    *,
    color: str = SRGB,
    orientation: int = 1,
    tone: str = "",
    **options: Any,
) -> bytes:
    """A bare codestream, lossless unless said otherwise, with these words in its header."""
    array = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    depth: dict[str, Any] = {} if pixels.dtype.kind == "f" else {"bitspersample": bits}
    made = imagecodecs.jpegxl_encode(array, **(options or {"lossless": True}), **depth)
    stream = module._codestream(bytes(made))
    if options:
        return stream
    header = read_jxl_header(stream)
    if pixels.shape[2] < 3:
        color = "001010001110110"  # grey with sRGB's curve
    words = {"color_bits": color, "orientation": orientation, "tone_bits": tone}
    return with_source_fields(stream, replace(header, **words))


def box(name: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + name + body


def through(folder: Path, data: bytes, *, change: float = 0.0) -> tuple[bytes, Any]:
    (folder / "in.jxl").write_bytes(data)
    image = read_image(folder / "in.jxl")
    step = np.full((3, image.height, image.width), change, np.float32)
    image = with_change(image, step)
    write_image(folder / "out.jxl", image)
    return (folder / "out.jxl").read_bytes(), image


def header_of(data: bytes) -> JxlHeader:
    return read_jxl_header(module._codestream(data))


def decoded(data: bytes, **options: Any) -> NDArray[Any]:
    pixels: NDArray[Any] = imagecodecs.jpegxl_decode(data, **options)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


@pytest.mark.parametrize(("kind", "bits"), KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_samples_depth_and_type_are_the_same(
    tmp_path: Path, kind: str, bits: int, channels: int
) -> None:
    pixels = samples(kind, bits, channels)
    written, image = through(tmp_path, jxl_bytes(pixels, bits))
    assert (image.bits, image.losses, image.encoded) == (bits, (), None)
    assert decoded(written).dtype == pixels.dtype
    assert decoded(written).tobytes() == pixels.tobytes()
    assert header_of(written).depth == header_of((tmp_path / "in.jxl").read_bytes()).depth


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_change_is_that_of_float64(tmp_path: Path, kind: str, bits: int) -> None:
    pixels = samples(kind, bits, 4)
    written, _ = through(tmp_path, jxl_bytes(pixels, bits), change=0.125)
    source, out = pixels.astype(np.float64), decoded(written).astype(np.float64)
    if kind[0] == "f":
        wanted, tolerance = source + 0.125, np.finfo(kind).eps * 8
    else:
        white = (1 << bits) - 1
        wanted, tolerance = np.minimum(source + 0.125 * white, white), 0.51
    assert np.abs(out - wanted)[:, :, :3].max() <= tolerance
    np.testing.assert_array_equal(out[:, :, 3], source[:, :, 3])


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(
        st.sampled_from([np.dtype("u1"), np.dtype("u2")]),
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4])),
    ),
    st.integers(1, 8),
    st.sampled_from([SRGB, BT2100_PQ, P3_SRGB, LINEAR_SRGB]),
)
def test_any_size_orientation_and_colour_comes_through(
    pixels: NDArray[Any], orientation: int, color: str
) -> None:
    bits = pixels.dtype.itemsize * 8
    data = jxl_bytes(pixels, bits, color=color, orientation=orientation)
    written = module.encode(module.decode(data))
    assert decoded(written, keeporientation=True).tobytes() == pixels.tobytes()
    before, after = header_of(data), header_of(written)
    assert after == before


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_means_to_libjxl_what_it_says(tmp_path: Path, orientation: int) -> None:
    data = jxl_bytes(samples("u1", 8), orientation=orientation)
    turned = decoded(data)
    assert turned.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
    written, image = through(tmp_path, data)
    assert (image.height, image.width) == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(decoded(written), turned)


@pytest.mark.parametrize(
    ("color", "transfer"),
    [(BT2100_PQ, PQ), (BT2100_HLG, HLG), (LINEAR_SRGB, LINEAR), (P3_SRGB, 13), (SRGB, 13)],
)
def test_colours_are_kept_and_their_transfer_known(
    tmp_path: Path, color: str, transfer: int
) -> None:
    tone = "0" + f"{0x63D0:016b}"[::-1] + "0" * 16 + "0" + "0" * 16  # 1000 cd/m2
    written, image = through(tmp_path, jxl_bytes(samples("u2", 16), 16, color=color, tone=tone))
    assert image.transfer == transfer
    header = header_of(written)
    assert (header.color_bits, header.tone_bits, header.transfer) == (color, tone, transfer)


def test_boxes_are_kept(tmp_path: Path) -> None:
    pixels = samples("u1", 8)
    stream = jxl_bytes(pixels)
    boxes = [box(b"Exif", bytes(4) + b"MM\0*\0\0\0\x08\0\0"), box(b"xml ", b"<x/>")]
    boxes += [box(b"mine", bytes(range(50)))]
    credentials = box(b"jumb", b"....c2pa....")
    data = CONTAINER + boxes[0] + box(b"jxlc", stream) + boxes[1] + boxes[2] + credentials
    written, image = through(tmp_path, data, change=0.25)
    assert len(image.losses) == 1 and "C2PA" in image.losses[0]
    assert written.startswith(CONTAINER) and written.endswith(b"".join(boxes))
    np.testing.assert_array_equal(decoded(written), image.pixels)
    halves = box(b"jxlp", bytes(4) + stream[:9]) + box(b"jxlp", b"\x80\0\0\1" + stream[9:])
    (tmp_path / "in.jxl").write_bytes(CONTAINER + halves)
    np.testing.assert_array_equal(read_image(tmp_path / "in.jxl").pixels, pixels)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_lossy_pictures_are_copied_or_become_lossless(tmp_path: Path, kind: str) -> None:
    y, x = np.mgrid[0:64, 0:96]
    white = 255 if kind == "u1" else 65535
    waves = [0.5 + 0.3 * np.sin(x / (17 + 3 * c)) * np.cos(y / 23) for c in range(3)]
    pixels = (np.stack(waves, axis=2) * white).astype(kind)
    data = jxl_bytes(pixels, white.bit_length(), level=90)
    assert header_of(data).lossy
    assert through(tmp_path, data)[0] == data
    written, image = through(tmp_path, data, change=0.125)
    assert image.losses == ("lossy compression becomes lossless, for a larger file",)
    assert decoded(written).tobytes() == image.pixels.tobytes()
    assert np.abs(image.pixels / white - pixels / white - 0.125).mean() < 0.02
    assert header_of(written).color_bits == header_of(data).color_bits


def test_the_first_picture_of_an_animation_is_kept(tmp_path: Path) -> None:
    frames = np.stack([samples("u1", 8), 255 - samples("u1", 8)])
    written, image = through(tmp_path, bytes(imagecodecs.jpegxl_encode(frames, lossless=True)))
    assert image.losses == ("animation: only the first picture is kept",)
    np.testing.assert_array_equal(decoded(written), frames[0])


def test_a_picture_behind_long_boxes_is_found(tmp_path: Path) -> None:
    for length in (65000, 65470, 200000):
        stream = box(b"jxlc", jxl_bytes(samples("u1", 8)))
        (tmp_path / "in.jxl").write_bytes(CONTAINER + box(b"Exif", bytes(length)) + stream)
        assert read_image_header(tmp_path / "in.jxl").width == WIDTH


def test_a_profile_is_listed_as_lost() -> None:
    header = header_of(jxl_bytes(samples("u1", 8)))
    losses = module._header_losses(replace(header, has_profile=True, animated=True))
    assert "profile (ICC)" in losses[0] and "animation" in losses[1]


def test_a_picture_with_a_profile_is_copied_where_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jxl_bytes(samples("u1", 8))
    described = replace(header_of(data), has_profile=True)
    monkeypatch.setattr(module, "read_jxl_header", lambda _: described)
    assert through(tmp_path, data)[0] == data
    monkeypatch.undo()
    image = module.decode(data)
    assert image.encoded is None, "without a profile there is nothing to lose"


def test_what_cannot_be_read_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "in.jxl"
    five = samples("u1", 8, 5)
    many = imagecodecs.jpegxl_encode(
        np.moveaxis(five, 2, 0).copy(), lossless=True, planar=True, photometric="gray"
    )
    six = with_depth(jxl_bytes(samples("u1", 8)), 6)
    described = with_profile(jxl_bytes(samples("u1", 8)))
    assert header_of(described).lossy and header_of(described).has_profile
    for data, words in (
        (bytes(many), "beside the colours"),
        (six, "integer samples of 6 bits"),
        (described, "lossy.*profile.*PNG or TIFF"),
    ):
        path.write_bytes(data)
        for function in (read_image_header, read_image):
            with pytest.raises(InputError, match=words):
                function(path)


def with_depth(data: bytes, bits: int) -> bytes:
    header = header_of(data)
    field = "0" + "11" + f"{bits - 1:06b}"[::-1] + "1"
    fields = header.size_bits + "00" + field + header.extra_bits + "0" + header.color_bits
    return codestream(fields + header.rest_bits, data[header.length :])


def with_profile(data: bytes) -> bytes:
    """A lossy picture that is described by a profile, though none follows."""
    header = header_of(data)
    fields = header.size_bits + "00" + header.sample_bits + header.extra_bits + "1"
    return codestream(fields + "01" + enum(0) + "00", data[header.length :])


def codestream(fields: str, picture: bytes) -> bytes:
    fields += "0" * (-len(fields) % 8)
    head = int(fields[::-1], 2).to_bytes(len(fields) // 8, "little")
    return b"\xff\x0a" + head + picture


def test_cut_files_are_input_errors(tmp_path: Path) -> None:
    stream = jxl_bytes(samples("u1", 8))
    for data in (stream, CONTAINER + box(b"jxlc", stream)):
        for length in (2, 4, 12, 40, len(data) // 2, len(data) - 5):
            (tmp_path / "in.jxl").write_bytes(data[:length])
            with pytest.raises(InputError, match=r"in\.jxl") as caught:
                read_image(tmp_path / "in.jxl")
            assert "\n" not in str(caught.value)


def test_flipped_bits_never_escape_as_other_errors(tmp_path: Path) -> None:
    rng, data, path = np.random.default_rng(3), jxl_bytes(samples("u1", 8)), tmp_path / "in.jxl"
    for _ in range(60):
        damaged = bytearray(data)
        damaged[int(rng.integers(2, 60))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            assert read_image(path).pixels.ndim == 3
        except InputError:
            continue


def test_the_shortest_header_is_lossy_srgb_of_8_bits() -> None:
    fields = "1" + "10000" + "100" + "1" + "1"  # in eighths, 16 rows, square, default, default
    header = read_jxl_header(b"\xff\x0a" + int(fields[::-1], 2).to_bytes(2, "little") + b"data")
    assert (header.width, header.height, header.orientation) == (16, 16, 1)
    assert (header.depth, header.lossy, header.transfer) == ((8, 0), True, 13)
    assert (header.color_bits, header.extra_bits, header.length) == (SRGB, "00", 4)
