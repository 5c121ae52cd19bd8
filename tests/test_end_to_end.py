"""The whole way of a video, through real files: what goes in, what comes out, against oracles.

The expectations are computed without david: by plain PyAV decoding and float64 numpy.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from david_cli import deblur_frames, deblur_video, load_deblurrer
from david_cli.errors import UsageError
from david_cli.inference.guard import GuardEvents
from david_cli.inference.report import Progress
from david_cli.video.streams import EncodeOptions
from tests import memory
from tests.footage import (
    KnownNetwork,
    Look,
    Planes,
    blocks,
    known_deblurrer,
    noise,
    packets,
    plain_decode,
    same,
    write_video,
)
from tests.video.clips import Clip, make_clip

FFV1 = EncodeOptions(codec="ffv1")
QUICK = EncodeOptions(preset="ultrafast")

BT709, UNTAGGED, BT601, BT2020 = 1, 2, 6, 9
LIMITED, FULL = 1, 2
LUMA = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
LOOKS = (
    Look("yuv420p", BT601, LIMITED),
    Look("yuv420p", BT709, LIMITED),
    Look("yuv420p", BT709, FULL),
    Look("yuv420p", UNTAGGED),
    Look("gray", UNTAGGED, FULL),
    Look("yuv420p10le", BT709, LIMITED),
    Look("yuv420p10le", BT2020, LIMITED),
    Look("yuv422p", BT601, LIMITED),
    Look("yuv444p", BT709, LIMITED),
    Look("yuv422p10le", BT601, FULL),
    Look("gbrp10le", 0, FULL),
    Look("gray10le", UNTAGGED, FULL),
)
by_look = pytest.mark.parametrize("look", LOOKS, ids=str)


# --- the picture ---------------------------------------------------------------------------------


@by_look
def test_strength_0_gives_the_source_code_for_code(look: Look, tmp_path: Path) -> None:
    """Random noise has every code, those outside of the nominal range included."""
    frames = noise(look, 9)
    source = write_video(tmp_path / "in.mkv", frames, look)
    deblur_video(source, tmp_path / "out.mkv", known_deblurrer(), strength=0, encode=FFV1)
    before, after = plain_decode(source), plain_decode(tmp_path / "out.mkv")
    assert same(before.frames, frames), "the clip itself is not what was meant"
    assert same(after.frames, frames)
    assert (after.pix_fmt, after.tags) == (before.pix_fmt, before.tags)


@by_look
def test_a_network_that_changes_nothing_gives_the_source(look: Look, tmp_path: Path) -> None:
    """The same through the whole computation: colour, window, network, change."""
    frames = noise(look, 5)
    assert same(_deblurred(frames, look, KnownNetwork((1, 1, 1), (0, 0, 0)), tmp_path), frames)


@by_look
def test_a_known_network_gives_the_float64_reference(look: Look, tmp_path: Path) -> None:
    """rgb -> 0.5 rgb + 0.25: luma within a code everywhere, chroma wherever it is flat."""
    frames = [*blocks(look, 3), *noise(look, 3, 48, 48)]
    after = _deblurred(frames, look, KnownNetwork(), tmp_path)
    for number, (before, found) in enumerate(zip(frames, after, strict=True)):
        expected = _reference(before, look, (0.5,) * 3, (0.25,) * 3)
        for plane, (e, f) in enumerate(zip(expected, found, strict=True)):
            error = np.abs(e - f.astype(np.float64))
            flat = number < 3 and plane > 0 and look.format.model == "yuv"
            if flat:
                error = error[_inside(e.shape)]
            if plane == 0 or flat or look.format.model == "rgb":
                assert error.max() <= 1, (number, plane)
    assert not same(after, frames), "the network was bypassed"


@by_look
def test_a_network_that_changes_one_channel_tells_the_matrices_apart(
    look: Look, tmp_path: Path
) -> None:
    """The reference network commutes with every matrix; this one with none."""
    gain, offset = (0.5, 1.0, 1.0), (0.25, 0.0, 0.0)
    frames = blocks(look, 2)
    after = _deblurred(frames, look, KnownNetwork(gain, offset), tmp_path)
    for before, found in zip(frames, after, strict=True):
        expected = _reference(before, look, gain, offset)
        for e, f in zip(expected, found, strict=True):
            flat = _inside(e.shape)
            assert np.abs(e - f.astype(np.float64))[flat].max() <= 1


@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_a_grey_source_stays_grey(matrix: int, tmp_path: Path) -> None:
    look = Look("yuv420p", matrix, LIMITED)
    middle = np.full((24, 24), 128, np.uint8)
    frames: list[Planes] = [(luma, middle, middle) for luma, _, _ in noise(look, 4, 48, 48)]
    after = _deblurred(frames, look, KnownNetwork(), tmp_path)
    assert all((plane == 128).all() for _, *chroma in after for plane in chroma)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_strength_scales_the_change(strength: float, tmp_path: Path) -> None:
    look = Look("yuv444p", BT709, LIMITED)
    frames = blocks(look, 1)
    after = _deblurred(frames, look, KnownNetwork(), tmp_path, strength=strength)
    gain, offset = (1 - 0.5 * strength,) * 3, (0.25 * strength,) * 3
    for e, f in zip(_reference(frames[0], look, gain, offset), after[0], strict=True):
        assert np.abs(e - f.astype(np.float64)).max() <= 1


def test_tiles_change_nothing_but_rounding(tmp_path: Path) -> None:
    """A network that looks at single pixels gives the same picture, tiled or not."""
    look = Look("yuv420p", BT709, LIMITED)
    frames = noise(look, 3)
    whole, tiled = (_deblurred(frames, look, KnownNetwork(), tmp_path, tile=t) for t in (0, 16))
    for a, b in zip(whole, tiled, strict=True):
        for p, q in zip(a, b, strict=True):
            assert np.abs(p.astype(int) - q).max() <= 1


def test_rgb_of_8_bits_is_kept_too(tmp_path: Path) -> None:
    """FFV1 packs it otherwise than H.264 does; the colours are the same."""
    look = Look("bgr0", codec="ffv1")
    source = tmp_path / "in.mkv"
    pixels = np.random.default_rng(5).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, look.pix_fmt
        for picture in pixels:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    for strength, expected in ((0, pixels), (1, pixels * 0.5 + 63.75)):
        target = tmp_path / f"{strength}.mkv"
        deblur_video(source, target, known_deblurrer(), strength=strength, encode=FFV1)
        with av.open(str(target)) as found:
            after = np.stack([f.to_ndarray(format="rgb24") for f in found.decode(video=0)])
        assert np.abs(after - expected).max() <= strength


def _deblurred(
    frames: list[Planes],
    look: Look,
    network: torch.nn.Module,
    folder: Path,
    *,
    strength: float = 1.0,
    tile: int = 0,
) -> list[Planes]:
    source = write_video(folder / "in.mkv", frames, look)
    target = folder / "out.mkv"
    deblurrer = known_deblurrer(network, tile)
    deblur_video(source, target, deblurrer, strength=strength, encode=FFV1, overwrite=True)
    return plain_decode(target).frames


def _reference(
    planes: Planes, look: Look, gain: tuple[float, ...], offset: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    """ITU-T H.273 in float64, by 3x3 matrices; chroma is repeated, so right where it is flat."""
    format = look.format
    top = 2**format.bits - 1
    full = look.range == FULL or (look.range == 0 and format.model != "yuv")
    unit = 2 ** (format.bits - 8)
    black, span, chroma = (0, top, top) if full else (16 * unit, 219 * unit, 224 * unit)
    middle = 2 ** (format.bits - 1)
    wide = [p.astype(np.float64) for p in planes]
    if format.model != "yuv":
        channels = (1, 2, 0) if format.model == "rgb" else (None,)  # planes are G, B, R
        out = []
        for plane, channel in zip(wide, channels, strict=True):
            g, o = (gain[channel], offset[channel]) if channel is not None else _grey(gain, offset)
            out.append(plane + ((g - 1) * (plane - black) + o * span))
        return [np.clip(np.round(p), 0, top) for p in out]
    across, down = format.log2_chroma
    high = [wide[0], *(p.repeat(1 << down, 0).repeat(1 << across, 1) for p in wide[1:])]
    levels = np.stack(
        [(high[0] - black) / span, (high[1] - middle) / chroma, (high[2] - middle) / chroma]
    )
    matrix = _matrix(look.matrix)
    rgb = np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), levels)
    rgb = rgb * np.array(gain)[:, None, None] + np.array(offset)[:, None, None]
    luma, cb, cr = np.einsum("ij,jhw->ihw", matrix, rgb)
    small = [_box(c, down, across) * chroma + middle for c in (cb, cr)]
    return [np.clip(np.round(p), 0, top) for p in (luma * span + black, *small)]


def _grey(gain: tuple[float, ...], offset: tuple[float, ...]) -> tuple[float, float]:
    weights = _matrix(BT601)[0]
    return float(weights @ np.array(gain)), float(weights @ np.array(offset))


def _matrix(code: int) -> NDArray[np.float64]:
    """RGB -> Y, Cb, Cr; small untagged video is BT.601."""
    kr, kb = LUMA[BT601 if code == UNTAGGED else code]
    luma = np.array([kr, 1 - kr - kb, kb])
    red, _, blue = np.eye(3)
    return np.stack([luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)])


def _box(plane: NDArray[np.float64], down: int, across: int) -> NDArray[np.float64]:
    H, W = plane.shape
    return plane.reshape(H >> down, 1 << down, W >> across, 1 << across).mean((1, 3))


def _inside(shape: tuple[int, ...], size: int = 3) -> NDArray[np.bool_]:
    """Samples of `blocks` whose neighbours two away have the same colour."""
    inside = np.zeros(shape, bool)
    rows, columns = shape[0] // size, shape[1] // size
    for y in range(0, shape[0], rows):
        for x in range(0, shape[1], columns):
            inside[y + 2 : y + rows - 2, x + 2 : x + columns - 2] = True
    return inside


# --- time, sound and everything else -------------------------------------------------------------

UNEVEN = (0, 3, 4, 9, 11, 12, 20, 21, 30, 33)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("times", [tuple(range(10)), UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("audio_start", [0, 4800])
def test_times_and_sound_are_the_sources(
    suffix: str, times: tuple[int, ...], audio_start: int, tmp_path: Path
) -> None:
    # B-frames would give the source itself wrong durations: MP4 derives them from decoding times
    clip = Clip(times=times, options={"bf": "0"}, audio="aac", audio_start=audio_start)
    source = make_clip(tmp_path / f"in.{suffix}", clip)
    report = deblur_video(source, None, known_deblurrer(), encode=QUICK)
    before, after = plain_decode(source), plain_decode(report.target)
    assert report.target == tmp_path / f"in.sharp.{suffix}"
    assert report.frames == len(after.frames) == len(times)
    assert after.times == before.times
    assert after.durations == before.durations
    assert packets(report.target, "audio") == packets(source, "audio")
    assert not same(after.frames, before.frames)


def test_ntsc_ticks_and_a_late_start_survive(tmp_path: Path) -> None:
    """24000/1001 in ticks of 1/24000, beginning at 2 s, as an edit list."""
    look = Look("yuv420p", codec="libx264")
    times = [48000 + 1001 * i for i in range(8)]
    source = write_video(
        tmp_path / "in.mp4", noise(look, 8), look, times=times, time_base=Fraction(1, 24000)
    )
    deblur_video(source, tmp_path / "out.mp4", known_deblurrer(), encode=QUICK)
    before, after = plain_decode(source), plain_decode(tmp_path / "out.mp4")
    assert before.times[0] == 2
    assert after.times == before.times


def test_a_part_begins_at_zero_with_its_sound(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(times=tuple(range(50)), audio="aac"))
    target = tmp_path / "out.mp4"
    deblur_video(source, target, known_deblurrer(), encode=QUICK, start=0.8, end=1.2)
    found = plain_decode(target)
    assert found.times == [Fraction(i, 25) for i in range(10)]
    sound, times = packets(target, "audio")
    whole, at = packets(source, "audio")
    first = whole.index(sound[0])
    assert sound == whole[first : first + len(sound)]
    assert abs(times[0] - (at[first] - Fraction(4, 5))) < Fraction(1, 1000)


def test_damage_ends_the_video_but_not_the_run(tmp_path: Path) -> None:
    """All frames up to the first exception are there, and a warning says where it was."""
    look = Look("yuv420p")
    source = write_video(tmp_path / "in.mkv", noise(look, 30), look)
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 1500] = bytes(1500)
    source.write_bytes(data)
    before = plain_decode(source)
    report = deblur_video(source, tmp_path / "out.mkv", known_deblurrer(), strength=0, encode=FFV1)
    assert 0 < report.frames == len(before.frames)
    assert same(plain_decode(tmp_path / "out.mkv").frames, before.frames)


# --- scenes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(9, 9), (2, 10), (1, 1, 8)], ids=str)
def test_scenes_are_deblurred_as_if_apart(lengths: tuple[int, ...], tmp_path: Path) -> None:
    """With a network that mixes all seven frames, one frame across a cut would show."""
    look = Look("yuv420p", BT709, LIMITED)
    scenes = [_scene(look, n, seed) for seed, n in enumerate(lengths)]
    network = KnownNetwork((1, 1, 1), (0, 0, 0), radius=3)
    whole = _deblurred([f for scene in scenes for f in scene], look, network, tmp_path)
    apart = [f for scene in scenes for f in _deblurred(scene, look, network, _sub(tmp_path))]
    assert same(whole, apart)


def _scene(look: Look, count: int, seed: int) -> list[Planes]:
    """A random landscape of large flat patches, panned by two pixels a frame."""
    (picture,) = blocks(look, 1, edge=24, size=8, seed=100 + seed)
    return [
        tuple(
            p[:64, i : i + 96] if k == 0 else p[:32, i // 2 : i // 2 + 48]
            for k, p in enumerate(picture)
        )
        for i in range(0, 2 * count, 2)
    ]


def _sub(folder: Path) -> Path:
    part = folder / f"part{len(list(folder.iterdir()))}"
    part.mkdir()
    return part


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(capsys: pytest.CaptureFixture[str]) -> None:
    """600 frames of 720p within 5 % of 60."""
    assert memory.main() == 0, capsys.readouterr().out


# --- the Python way in ---------------------------------------------------------------------------


def test_progress_comes_after_every_frame(tmp_path: Path) -> None:
    look = Look("yuv420p")
    source = write_video(tmp_path / "in.mp4", noise(look, 12), look)
    steps: list[Progress] = []
    lines: list[str] = []
    report = deblur_video(
        source,
        tmp_path / "out.mkv",
        known_deblurrer(),
        encode=FFV1,
        on_progress=steps.append,
        on_message=lines.append,
    )
    assert [step.done for step in steps] == list(range(1, 13))
    assert {step.total for step in steps} == {12}
    assert steps[-1].eta == 0
    assert all(a.elapsed <= b.elapsed for a, b in pairwise(steps))
    assert {"decode", "network"} <= steps[-1].stage_seconds.keys()
    assert report.bottleneck in report.stage_seconds
    assert tuple(lines) == report.warnings
    assert (report.model, report.device, report.precision) == ("known", "cpu", "fp32")


def test_strength_must_be_a_share(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="strength"):
        deblur_video(tmp_path / "in.mp4", strength=1.5)


def test_arrays_become_arrays_and_tensors_tensors() -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(5)]
    sharp = list(deblur_frames(arrays, known_deblurrer()))
    assert len(sharp) == 5
    for before, after in zip(arrays, sharp, strict=True):
        assert (after.dtype, after.shape) == (np.uint8, before.shape)
        assert np.abs(after - (before * 0.5 + 63.75)).max() <= 0.51
    tensors = [torch.from_numpy(a).permute(2, 0, 1) / 255 for a in arrays]
    for before, after in zip(tensors, deblur_frames(tensors, known_deblurrer()), strict=True):
        torch.testing.assert_close(after, before * 0.5 + 0.25)


@pytest.mark.parametrize("sharp_above", [None, 0.0])
def test_what_comes_out_may_be_changed_in_place(sharp_above: float | None) -> None:
    """By who asked for it, while the frame that went in is still in the windows of others."""
    frames = [torch.rand(3, 16, 16) for _ in range(6)]
    before = [frame.clone() for frame in frames]
    deblurrer = known_deblurrer()
    deblurrer.sharp_above = sharp_above
    for sharp in deblur_frames(frames, deblurrer):
        sharp.zero_()
    assert all(map(torch.equal, frames, before))


def test_frames_come_lazily_and_sizes_may_change() -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield torch.full((3, 16, 16 if taken <= 10 else 24), 0.5)

    deblurrer = known_deblurrer()
    sharp = deblur_frames(endless(), deblurrer)
    first = next(sharp)
    ahead = 3 + deblurrer.crew.workers
    assert taken <= ahead, "the right half of the window, and one frame for each worker"
    shapes = [tuple(first.shape), *(tuple(next(sharp).shape) for _ in range(11))]
    assert shapes == [(3, 16, 16)] * 10 + [(3, 16, 24)] * 2


# --- the shipped weights -------------------------------------------------------------------------


@pytest.mark.weights
@pytest.mark.parametrize(
    ("model", "height", "width"),
    [("david-lite", 520, 700), pytest.param("david", 400, 520, marks=pytest.mark.slow)],
)
def test_tiles_do_not_show(model: str, height: int, width: int, shared_data: Path) -> None:
    """On a real frame exposed for longer: 30 dB under what the network does, and 50 dB PSNR."""
    window = _long_exposures(shared_data / "example" / "phone_building_1080p30.mp4", height, width)
    deblurrer = load_deblurrer(model, device="cpu", tile=256)
    tiled = deblurrer(window)
    deblurrer.tile = 0
    whole = deblurrer(window)
    assert deblurrer.events == GuardEvents(), "the guard kept the source: nothing was compared"
    error = float((tiled - whole).square().mean())
    work = float((whole - window[:, 3]).square().mean())
    assert work > 0
    psnr, below = -10 * math.log10(error), 10 * math.log10(work / error)
    print(f"{model}: tiled is {psnr:.1f} dB PSNR from whole, {below:.1f} dB under the change")  # noqa: T201
    assert psnr >= 50
    assert below >= 30


def _long_exposures(path: Path, height: int, width: int, exposed: int = 5) -> torch.Tensor:
    """A window (1, 7, 3, H, W) of which every frame is the mean of some sharp ones."""
    count = 7 + exposed - 1
    with av.open(str(path)) as container:
        pictures = [
            f.to_ndarray(format="rgb24")
            for f, _ in zip(container.decode(video=0), range(count), strict=False)
        ]
    clip = torch.stack(
        [torch.from_numpy(p[300 : 300 + height, 500 : 500 + width]) for p in pictures]
    )
    clip = clip.permute(0, 3, 1, 2).float() / 255
    return torch.stack([clip[i : i + exposed].mean(0) for i in range(7)])[None]
