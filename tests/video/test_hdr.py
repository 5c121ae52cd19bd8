"""HDR: ten bits, tags and static metadata come through; what cannot is named."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from david_cli.cli.app import run
from david_cli.inference.pipeline import deblur_video
from david_cli.transfer import change_in_source, to_learned_range
from david_cli.video.codecs import Hdr10
from david_cli.video.frame import ColorSpec
from david_cli.video.hdr import lost_hdr, read_hdr, unkept_metadata
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, OutputPlan, plan_output
from tests.footage import KnownNetwork, known_deblurrer
from tests.video.clips import PQ, Clip, make_clip, pass_through, read

HLG = ColorSpec(9, 1, 9, 18)
P3_1000 = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
ODD = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16451)L(40000000,50)"


def hdr_clip(color: ColorSpec, mastering: str, light: str) -> Clip:
    parts = ["log-level=none", f"hdr10=1:master-display={mastering}" if mastering else ""]
    parts += [f"max-cll={light}" if light else ""]
    options = {"x265-params": ":".join(part for part in parts if part), "preset": "ultrafast"}
    return Clip("libx265", "yuv420p10le", 64, 64, (0, 1, 2), color=color, options=options)


def hdr_of(path: Path) -> Hdr10:
    with av.open(str(path)) as container:
        return read_hdr(next(container.decode(video=0)))


def plan_of(source: Path, target: Path, codec: str | None = None) -> OutputPlan:
    with VideoReader(source) as reader:
        return plan_output(reader, target, EncodeOptions(codec=codec))


SOURCES = [
    (PQ, P3_1000, "1000,400"),
    (PQ, ODD, ""),
    (PQ, "", "4000,1"),
    (HLG, P3_1000, "1000,400"),
    (HLG, "", ""),
]


@pytest.mark.parametrize("codec", ["hevc", "av1", "h264"])
@pytest.mark.parametrize("color, mastering, light", SOURCES)
def test_tags_bits_and_metadata_before_and_after(
    color: ColorSpec, mastering: str, light: str, codec: str, tmp_path: Path
) -> None:
    source = make_clip(tmp_path / "in.mkv", hdr_clip(color, mastering, light))
    suffix = ".mp4" if light else ".mkv"
    plan, _ = pass_through(source, tmp_path / f"out{suffix}", EncodeOptions(codec=codec))
    before, after = hdr_of(source), hdr_of(plan.target)
    assert (before.mastering, before.light) == (mastering, light)
    assert not plan.losses and lost_hdr(before, after) == ()
    assert after.light == before.light and bool(after.mastering) == bool(mastering)
    if codec != "av1":  # its own units, rounded to
        assert after == before
    result = read(plan.target)
    assert result.color == color and result.frames[0].format.name == "yuv420p10le"
    assert any("mastering display" in line for line in plan.kept) == bool(mastering)


@pytest.mark.parametrize("codec", ["ffv1", "prores"])
def test_codecs_that_cannot_hold_it_say_so(codec: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", hdr_clip(PQ, P3_1000, "1000,400"))
    plan = plan_of(source, tmp_path / "out.mov" if codec == "prores" else tmp_path / "o.mkv", codec)
    lost = " | ".join(plan.losses)
    assert "mastering display" in lost and "content light level" in lost and "cannot hold" in lost
    assert plan.color.transfer == PQ.transfer
    assert not any("HDR" in line for line in plan.kept)


def test_whole_way_with_a_network(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", hdr_clip(PQ, P3_1000, "1000,400"))
    report = deblur_video(source, tmp_path / "out.mp4", known_deblurrer())
    assert hdr_of(report.target) == hdr_of(source)
    after = read(report.target)
    assert after.color == PQ and after.frames[0].format.bits == 10
    assert any("HDR" in line for line in report.warnings)


def test_metadata_is_compared_as_finely_as_it_is_coded() -> None:
    base = Hdr10(mastering=P3_1000, light="1000,400")
    assert lost_hdr(base, base) == () and lost_hdr(Hdr10(), base) == ()
    assert lost_hdr(base, Hdr10(light="1000,400")) == ("HDR mastering display metadata",)
    other = P3_1000.replace("15635", "15640")
    assert lost_hdr(base, Hdr10(mastering=other, light="1000,400"))
    near = P3_1000.replace("15635", "15636").replace("10000000", "10000039")
    assert lost_hdr(base, Hdr10(mastering=near, light="1000,401")) == ("HDR content light level",)


def bits(*fields: tuple[int, int]) -> bytes:
    """(value, size) ... -> bytes, the highest bit first, filled with zeros."""
    text = "".join(f"{value:0{size}b}" for value, size in fields)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def hdr10_plus() -> bytes:
    """A prefix SEI unit of HEVC with the shortest legal HDR10+ message (SMPTE ST 2094-40)."""
    header = bytes.fromhex("B5 003C 0001 04 01")
    scene = ((1, 2), (400, 27), (0, 1), (100, 17), (100, 17), (100, 17), (50, 17), (0, 4), (0, 10))
    message = header + bits(*scene, (0, 1), (0, 1), (0, 1))
    return bytes([39 << 1, 1, 4, len(message)]) + escaped(message) + b"\x80"


def escaped(payload: bytes) -> bytes:
    """With emulation prevention: no 00 00 0x inside of a unit."""
    found = bytearray()
    for byte in payload:
        if byte <= 3 and found[-2:] == b"\0\0":
            found.append(3)
        found.append(byte)
    return bytes(found)


DOLBY_VISION = bytes([62 << 1, 1]) + bytes(range(25, 60))
"""A unit of the type that Dolby Vision's RPU has; what is in it does not matter here."""


@pytest.mark.parametrize("kind", ["hdr10+", "dolby"])
def test_metadata_of_single_frames_is_listed_as_lost(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark, name = b"\0\0\0\1", {"hdr10+": "HDR10+", "dolby": "Dolby Vision"}[kind]
    plain = make_clip(tmp_path / "plain.hevc", hdr_clip(PQ, P3_1000, "1000,400"))
    source = tmp_path / "in.hevc"
    with av.open(str(plain)) as container, source.open("wb") as file:
        for packet in container.demux(video=0):
            before = mark + hdr10_plus() if kind == "hdr10+" and packet.size else b""
            after = mark + DOLBY_VISION if kind == "dolby" and packet.size else b""
            file.write(before + bytes(packet) + after)
    assert not plan_of(plain, tmp_path / "out.mkv").losses
    (line,) = plan_of(source, tmp_path / "out.mkv").losses
    assert line.startswith(name) and "no encoder here can write it" in line
    assert run(["info", str(source), "--json"]) == 0
    assert line in json.loads(capsys.readouterr().out)["output"]["losses"]


def test_dolby_vision_without_a_plain_picture_warns_of_its_colours() -> None:
    frame = av.VideoFrame(16, 16, "yuv420p10le")
    (line,) = unkept_metadata(frame, "dvh1")
    assert "Dolby Vision" in line and "colours may be wrong" in line
    assert unkept_metadata(frame, "hvc1") == ()


def test_strength_0_is_exact(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", hdr_clip(HLG, "", ""))
    options = EncodeOptions(codec="ffv1")
    report = deblur_video(
        source, tmp_path / "out.mkv", known_deblurrer(), strength=0, encode=options
    )
    a, b = read(source).frames, read(report.target).frames
    assert all(
        (x.planes[i] == y.planes[i]).all() for x, y in zip(a, b, strict=True) for i in (0, 1, 2)
    )
    assert [frame.pts * frame.time_base for frame in b] == [Fraction(n, 25) for n in range(3)]


@pytest.mark.parametrize("transfer", [16, 18])
def test_learned_range_is_invertible_and_rises(transfer: int) -> None:
    """For every code, those beyond black and white included, as finely as 12 bits tell them."""
    codes = torch.linspace(-0.07, 1.09, 4096)
    seen = to_learned_range(codes, transfer)
    assert (seen.diff() > 0).all()
    back = change_in_source(seen, torch.zeros_like(seen), transfer)
    assert (back - codes).abs().max() < 0.1 / 4095
    assert torch.equal(change_in_source(seen, seen, transfer), torch.zeros_like(seen))


def test_learned_range_is_what_it_says() -> None:
    """1000 cd/m2 is 1, in PQ (code 0.7518, BT.2100) and at the top of HLG; SDR is left alone."""
    peak = torch.tensor([0.751827])
    assert to_learned_range(peak, 16).item() == pytest.approx(1, abs=1e-5)
    assert to_learned_range(torch.ones(1), 18).item() == pytest.approx(1, abs=1e-5)
    # BT.2408: reference white, 75 % of HLG, is 203 cd/m2 after the display's own gamma of 1.2;
    # without it 12 x 0.02207 of the light: 265 cd/m2, 0.6088 in PQ
    white = to_learned_range(torch.tensor([0.75]), 18).item()
    assert white * 0.751827 == pytest.approx(0.6088, abs=1e-3)
    picture = torch.rand(3, 4, 4)
    assert to_learned_range(picture, 1) is picture


@pytest.mark.parametrize("color", [PQ, HLG, ColorSpec(9, 1, 9, 14)])
def test_the_network_sees_the_learned_range(color: ColorSpec, tmp_path: Path) -> None:
    """A network that adds 0.1 moves the source by what 0.1 is there in its own codes."""
    clip = Clip("ffv1", "gray12le", 16, 16, (0, 1), color=color)
    source = make_clip(tmp_path / "in.mkv", clip)
    network = KnownNetwork((1.0, 1.0, 1.0), (0.1, 0.1, 0.1))
    report = deblur_video(
        source, tmp_path / "out.mkv", known_deblurrer(network), encode=EncodeOptions(codec="ffv1")
    )
    for before, after in zip(read(source).frames, read(report.target).frames, strict=True):
        codes = torch.from_numpy(before.planes[0].astype("float64"))
        seen = to_learned_range((codes - 256) / 3504, color.transfer)
        change = change_in_source(seen + 0.1, seen, color.transfer)
        expected = (codes + change * 3504).clamp(0, 4095)
        found = torch.from_numpy(after.planes[0].astype("float64"))
        assert (found - expected).abs().max() < 1.1
