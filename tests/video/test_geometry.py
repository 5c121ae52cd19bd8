"""Shape of the picture: clean aperture, tiny and odd sizes, alpha."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from david_cli.errors import OutputError
from david_cli.video.frame import ColorSpec
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, plan_output
from tests.video.clips import Clip, make_clip, pass_through, read, same_planes


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (16, 16), (17, 3), (33, 17)])
@pytest.mark.parametrize("codec", [None, "ffv1"])
def test_tiny_and_odd_sizes(size: tuple[int, int], codec: str | None, tmp_path: Path) -> None:
    width, height = size
    lossless = {"qp": "0"}
    clip = Clip("libx264", "yuv444p", width, height, options=lossless, aspect=Fraction(4, 3))
    clip = replace(clip, rotation=90)
    source = make_clip(tmp_path / "in.mkv", clip)
    plan, _ = pass_through(source, tmp_path / "out.mkv", EncodeOptions(codec=codec))
    before, after = read(source), read(plan.target)
    assert [(f.width, f.height) for f in after.frames] == [size] * len(clip.times)
    assert after.rotation == before.rotation == 90
    if codec is None:
        assert after.aspect == before.aspect and not plan.losses
        assert before.aspect == Fraction(4, 3) or width == 1  # MKV rounds what is shown
    if codec == "ffv1":
        assert same_planes(after.frames, before.frames)


@pytest.mark.parametrize(
    "pix_fmt, codec, exact",
    [
        ("yuva420p", "ffv1", True),
        ("yuva444p10le", "ffv1", True),
        ("bgra", "ffv1", True),
        ("yuva444p10le", "prores", False),
        ("yuva420p", None, True),
    ],
)
def test_alpha_is_kept_where_a_codec_holds_it(
    pix_fmt: str, codec: str | None, exact: bool, tmp_path: Path
) -> None:
    color = ColorSpec(0) if pix_fmt == "bgra" else ColorSpec(1, 1, 1, 1)
    source = make_clip(tmp_path / "in.mkv", Clip("ffv1", pix_fmt, 64, 48, (0, 1), color=color))
    suffix = ".mov" if codec == "prores" else ".mkv"
    plan, _ = pass_through(source, tmp_path / f"out{suffix}", EncodeOptions(codec=codec))
    before, after = read(source), read(plan.target)
    assert after.frames[0].format.alpha
    for was, now in zip(before.frames, after.frames, strict=True):
        alpha, found = was.planes[-1].astype(int), now.planes[-1].astype(int)
        scale = (1 << now.format.bits) / (1 << was.format.bits)
        assert abs(found / scale - alpha).max() <= (0 if exact else 1)
    if exact:
        assert same_planes(after.frames, before.frames)


def test_a_codec_without_alpha_is_refused_not_flattened(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip("ffv1", "yuva420p"))
    with VideoReader(source) as reader, pytest.raises(OutputError, match="h264 cannot encode"):
        plan_output(reader, tmp_path / "out.mp4", EncodeOptions(codec="h264"))


def test_clean_aperture_is_listed(tmp_path: Path) -> None:
    """FFmpeg's library leaves it to players: the whole picture is kept, the aperture listed."""
    source = make_clip(tmp_path / "in.mp4", Clip(width=64, height=48))
    whole = read(source).frames
    fractions = (60, 1, 40, 1, 0, 1, 0, 1)  # width, height, then offset of the centre
    cropped = tmp_path / "cropped.mp4"
    cropped.write_bytes(with_box(source.read_bytes(), b"clap", struct.pack(">8I", *fractions)))
    plan, _ = pass_through(cropped, tmp_path / "out.mp4", EncodeOptions(codec="ffv1"))
    assert same_planes(read(plan.target).frames, whole)
    (line,) = plan.losses
    assert line.startswith("clean aperture (crop 2/2/4/4 at left/right/top/bottom)")


def with_box(data: bytes, name: bytes, body: bytes) -> bytes:
    """An MP4 whose sample description of H.264 has one box more; moov must come last."""
    box = struct.pack(">I4s", 8 + len(body), name) + body
    place = 0
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(parent, place) - 4
        (size,) = struct.unpack_from(">I", data, place)
        data = data[:place] + struct.pack(">I", size + len(box)) + data[place + 4 :]
    end = place + size
    return data[:end] + box + data[end:]
