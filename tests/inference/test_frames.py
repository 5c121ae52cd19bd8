"""A folder of frames through a network of known output, with the window's delay."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from david_cli.errors import InputError, OutputError, UsageError
from david_cli.images import read_image
from david_cli.inference import frames as module
from david_cli.inference.frames import FolderProgress, deblur_frame_folder, default_target
from tests.test_dpx import dpx_bytes

RADIUS = 3


@pytest.fixture(autouse=True)
def _only_size_cuts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure of scene cuts has tests of its own, and takes most of the time here."""
    if "real_cuts" not in request.fixturenames:
        monkeypatch.setattr(module, "is_scene_cut", lambda a, b: a.shape != b.shape)


@pytest.fixture
def real_cuts() -> None:
    """Leave the measure of scene cuts in place."""


@dataclass
class FakeDeblurrer:
    """Half the contrast: rgb -> 0.5 rgb + 0.25, as late as a window of seven would give it."""

    name: str = "fake"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "fp32"
    engine: str = "torch"
    tile: int = 0
    events: None = None
    most_read_ahead: int = 0
    scenes: list[int] = field(default_factory=list)
    """Frames in each scene."""

    def stream(
        self, frames: Iterable[Tensor], is_cut: Callable[[Tensor, Tensor], bool]
    ) -> Iterator[Tensor]:
        waiting: deque[Tensor] = deque()
        last: Tensor | None = None
        for frame in frames:
            assert frame.dtype == torch.float32 and frame.shape[0] == 3
            if last is None or is_cut(last, frame):
                self.scenes.append(0)
                yield from map(self.sharpen, waiting)
                waiting.clear()
            self.scenes[-1] += 1
            waiting.append(frame)
            if len(waiting) > RADIUS:
                yield self.sharpen(waiting.popleft())
            last = frame
        yield from map(self.sharpen, waiting)

    @staticmethod
    def sharpen(frame: Tensor) -> Tensor:
        return 0.5 * frame + 0.25


def pattern(index: int, *, height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    """Slow waves that pan with the index: one scene, yet every frame its own."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin((x + index) / (5 + c)) * np.cos((y + c) / 7) for c in range(3)]
    return np.stack([128 + 60 * wave for wave in waves], axis=2).astype(np.uint8)


def expected(codes: NDArray[Any], white: int = 255) -> NDArray[np.float64]:
    """What the fake network makes of codes, in float64."""
    return codes.astype(np.float64) * 0.5 + 0.25 * white


def make_folder(folder: Path, count: int = 9) -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(pattern(index)).save(folder / f"f{index}.png")
    return folder


def run(source: Path, target: Path | None = None, **options: Any) -> Any:
    deblurrer: Any = options.pop("deblurrer", None) or FakeDeblurrer()
    return deblur_frame_folder(source, target, deblurrer, **options)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 12])
def test_every_frame_comes_out_changed_under_its_name(tmp_path: Path, count: int) -> None:
    source = make_folder(tmp_path / "in", count)
    report = run(source)
    assert report.target == tmp_path / "in.sharp"
    assert sorted(os.listdir(report.target)) == sorted(os.listdir(source))
    for index in range(count):
        out = read_image(report.target / f"f{index}.png").pixels.astype(float)
        assert np.abs(out - expected(pattern(index))).max() <= 0.51
    assert (report.frames, report.model, report.losses, report.ignored) == (count, "fake", (), ())


def test_natural_order_reaches_the_network(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for index in range(12):  # brightness tells the index
        Image.fromarray(np.full((8, 8), index * 10, np.uint8)).save(source / f"shot{index}.png")
    seen: list[float] = []

    class Recorder(FakeDeblurrer):
        def stream(self, frames: Iterable[Tensor], is_cut: Any) -> Iterator[Tensor]:
            for frame in frames:
                seen.append(float(frame.mean()) * 255)
                yield frame

    run(source, deblurrer=Recorder())
    assert np.allclose(seen, np.arange(12) * 10)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_strength_0_keeps_every_pixel_and_skips_the_network(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    codes = np.random.default_rng(0).integers(0, 256, (3, 9, 11, 3)).astype(np.uint8)
    for index, frame in enumerate(codes):
        options = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(frame).save(source / f"{index}.{suffix}", **options)
    deblurrer = FakeDeblurrer()
    report = run(source, strength=0.0, deblurrer=deblurrer)
    assert deblurrer.scenes == [] and report.frames == 3
    for index, frame in enumerate(codes):
        with Image.open(report.target / f"{index}.{suffix}") as out:
            np.testing.assert_array_equal(np.array(out), frame)


def test_strength_0_copies_jpeg_bytes(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(pattern(0)).save(source / "a.jpg", quality=71)
    data = (source / "a.jpg").read_bytes() + b"trailer"
    (source / "a.jpg").write_bytes(data)
    report = run(source, strength=0.0)
    assert (report.target / "a.jpg").read_bytes() == data
    assert report.losses == ()  # a copy loses nothing
    assert len(run(source, tmp_path / "b", strength=1.0).losses) == 1


def test_16_bit_codes_match_float64(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    codes = np.random.default_rng(1).integers(0, 1 << 16, (5, 12, 15, 3)).astype(np.uint16)
    for index, frame in enumerate(codes):
        tifffile.imwrite(source / f"{index}.tif", frame, photometric="rgb", compression="lzw")
    target = run(source, tmp_path / "out").target
    for index, frame in enumerate(codes):
        out = tifffile.imread(target / f"{index}.tif").astype(float)
        assert out.shape == frame.shape
        assert np.abs(out - expected(frame, 65535)).max() <= 0.52


@pytest.mark.usefixtures("real_cuts")
def test_another_picture_starts_a_scene(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", 3)
    noise = np.random.default_rng(2).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    other = Image.fromarray(noise).resize((56, 40))
    for index in range(3, 5):
        other.putpixel((0, 0), (index, 0, 0))  # a picture of its own
        other.save(source / f"f{index}.png")
    deblurrer = FakeDeblurrer()
    run(source, deblurrer=deblurrer)
    assert deblurrer.scenes == [3, 2]


def test_another_size_starts_a_scene(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", 5)
    for index in range(5, 8):
        Image.fromarray(pattern(index, height=31)).save(source / f"f{index}.png")
    deblurrer = FakeDeblurrer()
    report = run(source, deblurrer=deblurrer)
    assert deblurrer.scenes == [5, 3]
    heights = [read_image(report.target / f"f{index}.png").height for index in range(8)]
    assert heights == [40] * 5 + [31] * 3


def test_mixed_kinds_grey_alpha_and_losses(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    picture = Image.fromarray(pattern(0))
    alpha = Image.fromarray(pattern(3)[:, :, 0])
    rgba = picture.copy()
    rgba.putalpha(alpha)
    rgba.save(source / "1.png")
    picture.convert("L").save(source / "2.png")
    for name in ("3.png", "4.png"):
        picture.quantize(32).save(source / name)
    (source / "notes.txt").write_text("hello")
    (source / "more").mkdir()
    report = run(source)
    assert report.losses == ("palette colours become 8-bit RGB (2 frames, from 3.png)",)
    assert [path.name for path in report.ignored] == ["more", "notes.txt"]
    assert sorted(os.listdir(report.target)) == ["1.png", "2.png", "3.png", "4.png"]
    with Image.open(report.target / "1.png") as out:
        assert out.mode == "RGBA"
        np.testing.assert_array_equal(np.array(out)[:, :, 3], np.array(alpha))
    with Image.open(report.target / "2.png") as out:
        assert out.mode == "L"
        grey = np.array(picture.convert("L"))
        assert np.abs(np.array(out) - expected(grey)).max() <= 0.51


def test_progress_counts_up_and_names_stages(tmp_path: Path) -> None:
    seen: list[FolderProgress] = []
    report = run(make_folder(tmp_path / "in", 6), on_progress=seen.append)
    assert [progress.done for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert {progress.total for progress in seen} == {6}
    assert seen[-1].eta == 0 and seen[0].eta > 0 and seen[-1].fps > 0
    assert set(report.stage_seconds) == {"decode", "network", "encode"}
    assert all(seconds >= 0 for seconds in report.stage_seconds.values())
    assert sum(report.stage_seconds.values()) <= report.seconds
    assert report.bottleneck == max(report.stage_seconds, key=report.stage_seconds.__getitem__)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the folder and slow the writer, few pictures are read but not yet written."""
    lock, held, most = threading.Lock(), 0, 0
    read, write = module._read, module.write_image

    def counted_read(path: Path) -> Any:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return read(path)

    def counted_write(path: Path, image: Any) -> None:
        nonlocal held
        write(path, image)
        with lock:
            held -= 1

    monkeypatch.setattr(module, "_read", counted_read)
    monkeypatch.setattr(module, "write_image", counted_write)
    run(make_folder(tmp_path / "in", 40))
    assert held == 0
    assert most <= RADIUS + 1 + 2 * (module.AHEAD + 1)


def test_damaged_header_stops_before_anything_is_written(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", 8)
    (source / "f7.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"f7\.png"):
        run(source)
    assert not (tmp_path / "in.sharp").exists()


def test_damaged_picture_stops_and_finished_frames_stay(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", 20)
    data = bytearray((source / "f15.png").read_bytes())
    data[len(data) // 2] ^= 255
    (source / "f15.png").write_bytes(data)
    with pytest.raises(InputError, match=r"f15\.png"):
        run(source)
    names = os.listdir(tmp_path / "in.sharp")
    assert "f0.png" in names and "f15.png" not in names
    for name in names:  # whole files, no temporary ones
        assert name.startswith("f") and read_image(tmp_path / "in.sharp" / name).width == 56


def test_existing_frames_need_overwrite(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", 2)
    target = tmp_path / "out"
    target.mkdir()
    (target / "other.txt").write_text("mine")
    run(source, target)
    before = (target / "f0.png").read_bytes()
    with pytest.raises(OutputError, match=r"f0\.png and 1 more"):
        run(source, target, strength=0.5)
    assert (target / "f0.png").read_bytes() == before
    run(source, target, strength=0.5, overwrite=True)
    assert (target / "f0.png").read_bytes() != before
    assert (target / "other.txt").read_text() == "mine"


def test_frames_that_links_lead_to_are_never_overwritten(tmp_path: Path) -> None:
    plates = make_folder(tmp_path / "plates", 3)
    before = {path.name: path.read_bytes() for path in plates.iterdir()}
    source = tmp_path / "in"
    source.mkdir()
    for path in plates.iterdir():
        (source / path.name).symlink_to(path)
    with pytest.raises(OutputError, match=r"plates.*f0\.png is the input itself"):
        run(source, plates, overwrite=True)
    assert {path.name: path.read_bytes() for path in plates.iterdir()} == before
    assert run(source).frames == 3


def test_impossible_targets_and_options(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", 1)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(source)
    for target in (source, tmp_path / "in" / ".." / "in", tmp_path / "link"):
        with pytest.raises(OutputError, match="input folder itself"):
            run(source, target, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        run(source, tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be created"):
        run(source, tmp_path / "absent" / "out")
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="strength"):
            run(source, strength=strength)
    assert sorted(os.listdir(source)) == ["f0.png"]


def test_folders_without_frames(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(InputError, match="no frames"):
        run(tmp_path / "in")
    with pytest.raises(InputError, match="no such folder"):
        run(tmp_path / "absent")
    assert os.listdir(tmp_path) == ["in"]


def test_default_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shots" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "shots")
    assert default_target(Path("a/")) == Path("a.sharp")
    assert default_target(tmp_path / "v1.2") == tmp_path / "v1.2.sharp"
    assert default_target(Path(".")) == tmp_path.resolve() / "shots.sharp"


# --- light without bounds, and depths beyond 16 bits ----------------------------------------------

FILM_BLACK = 10 ** ((95 - 685) * 0.002 / 0.6)


def scene(light: NDArray[Any]) -> NDArray[np.float64]:
    """What the network sees of linear light (docs/pictures.md), in float64."""
    size = np.abs(light.astype(np.float64))
    joint, slope = 0.0393, 12.92321
    power = 1.055 * np.clip(size, joint / slope, 1) ** (1 / 2.4) - 0.055
    curve = power + 1.055 / 2.4 * np.log(np.maximum(size, 1))
    return np.copysign(np.where(size <= 0.00303993, slope * size, curve), light)


def light_of(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.abs(seen)
    power = ((np.clip(size, 0, 1) + 0.055) / 1.055) ** 2.4
    light = power * np.exp((np.maximum(size, 1) - 1) * 2.4 / 1.055)
    return np.copysign(np.where(size <= 0.0392857, size / 12.92321, light), seen)


def film_code(light: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = 10 ** (-685 * 0.002 / 0.6)
    return (np.log10(np.maximum(light * (1 - FILM_BLACK) + FILM_BLACK, floor)) * 300 + 685) / 1023


def sharp_light(light: NDArray[Any], strength: float = 1.0) -> NDArray[np.float64]:
    """The fake network's effect on linear light, in float64."""
    seen = scene(light)
    change = light_of(0.5 * seen + 0.25) - light_of(seen)
    return light.astype(np.float64) + strength * change


def precision(light: NDArray[Any], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half a step of the file's type, and float32 on the way through the curve."""
    step = np.finfo(light.dtype).eps * np.abs(wanted)
    return np.asarray(step + 4e-6 * np.abs(light.astype(np.float64)) + 1e-6)


def unbounded(kind: str, index: int) -> NDArray[Any]:
    """Half the picture is brighter than white, some of it below 0 (H, W, 3)."""
    rng = np.random.default_rng(index)
    light = rng.standard_normal((16, 24, 3)) * 10.0 ** rng.integers(-3, 4, (16, 24, 3))
    return light.astype(kind)


@pytest.mark.parametrize("kind", ["f2", "f4"])
@pytest.mark.parametrize("suffix", ["exr", "tif"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_linear_light_matches_float64(
    tmp_path: Path, kind: str, suffix: str, strength: float
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    frames = [unbounded(kind, index) for index in range(4)]
    for index, frame in enumerate(frames):
        save_light(source / f"{index}.{suffix}", frame)
    report = run(source, strength=strength)
    assert report.losses == ()
    for index, frame in enumerate(frames):
        out = read_image(report.target / f"{index}.{suffix}").pixels
        assert out.dtype == frame.dtype
        if strength == 0:
            assert out.tobytes() == frame.tobytes()
            continue
        wanted = sharp_light(frame, strength)
        assert (np.abs(out - wanted) <= precision(frame, wanted)).all()
        assert (out < 0).any() and (out > 10).any()


def save_light(path: Path, light: NDArray[Any]) -> None:
    if path.suffix == ".tif":
        tifffile.imwrite(path, light, photometric="rgb")
        return
    exr = pytest.importorskip("OpenEXR")
    channels = {name: np.ascontiguousarray(light[:, :, i]) for i, name in enumerate("RGB")}
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, channels).write(str(path))


def test_nan_stays_and_does_not_spread(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    bad = np.zeros((16, 24, 3), bool)
    bad[5, 7, 1] = bad[0, 0, :] = bad[15, 23, 2] = True
    frames = [unbounded("f4", index) for index in range(3)]
    for index, frame in enumerate(frames):
        frame[bad] = [np.nan, np.inf, -np.inf, np.nan, np.inf]
        tifffile.imwrite(source / f"{index}.tif", frame, photometric="rgb")

    class Spreading(FakeDeblurrer):
        """Every pixel of the result depends on every pixel of the frame."""

        @staticmethod
        def sharpen(frame: Tensor) -> Tensor:
            return 0.5 * frame + 0.25 + 0 * frame.sum()

    target = run(source, deblurrer=Spreading()).target
    for index, frame in enumerate(frames):
        out = tifffile.imread(target / f"{index}.tif")
        assert out[bad].tobytes() == frame[bad].tobytes()
        assert np.isfinite(out[~bad]).all()
        wanted = sharp_light(frame[~bad])
        assert (np.abs(out[~bad] - wanted) <= precision(frame[~bad], wanted)).all()


@pytest.mark.parametrize(("code", "is_film"), [(1, True), (3, True), (6, False)])
def test_film_scans_match_float64(tmp_path: Path, code: int, is_film: bool) -> None:
    source = tmp_path / "in"
    source.mkdir()
    codes = np.random.default_rng(4).integers(0, 1024, (16, 24, 3)).astype(np.uint16)
    (source / "1.dpx").write_bytes(dpx_bytes(codes, transfer=code))
    target = run(source).target
    out = read_image(target / "1.dpx").pixels
    wanted = expected(codes, 1023)
    if is_film:
        light = (10 ** ((codes - 685.0) / 300) - FILM_BLACK) / (1 - FILM_BLACK)
        seen = scene(light)
        change = film_code(light_of(0.5 * seen + 0.25)) - film_code(light_of(seen))
        wanted = codes + 1023 * change
    assert np.abs(out - np.clip(wanted, 0, 1023)).max() <= 0.51
    same = run(source, tmp_path / "same", strength=0.0).target
    assert (same / "1.dpx").read_bytes() == (source / "1.dpx").read_bytes()


def test_32_bit_codes_match_float64(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    codes = np.random.default_rng(5).integers(0, 1 << 32, (12, 15, 3), dtype=np.uint32)
    tifffile.imwrite(source / "1.tif", codes, photometric="rgb")
    out = tifffile.imread(run(source).target / "1.tif")
    step = (1 << 32) * np.finfo(np.float32).eps  # the network's own
    assert np.abs(out.astype(float) - expected(codes, (1 << 32) - 1)).max() <= step
    same = run(source, tmp_path / "same", strength=0.0).target
    np.testing.assert_array_equal(tifffile.imread(same / "1.tif"), codes)


def test_all_kinds_in_one_folder(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "in", 2)
    save_light(source / "f2.exr", pattern(2).astype("f4") / 255)
    (source / "f3.dpx").write_bytes(dpx_bytes(pattern(3).astype(np.uint16) * 4))
    (source / "f4.jxl").write_bytes(imagecodecs.jpegxl_encode(pattern(4), lossless=True))
    report = run(source)
    names = ["f0.png", "f1.png", "f2.exr", "f3.dpx", "f4.jxl"]
    assert sorted(os.listdir(report.target)) == names and report.losses == ()
    kinds = [read_image(report.target / name).kind for name in names]
    assert kinds == ["png", "png", "exr", "dpx", "jxl"]
    out = read_image(report.target / "f4.jxl").pixels
    assert np.abs(out - expected(pattern(4))).max() <= 0.51
