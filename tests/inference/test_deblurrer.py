"""What stands around the network: tiles, memory, precision, the guard, devices and their errors."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from david_cli.errors import DeviceError, ModelError, UsageError
from david_cli.inference import device as device_of
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.device import Precision, multiplies_bf16, resolve_device
from david_cli.inference.guard import is_sound
from david_cli.inference.loading import load_deblurrer, prepare_deblurrer
from david_cli.inference.memory import (
    halved_tile,
    is_out_of_memory,
    tile_for_memory,
)
from david_cli.inference.workers import Crew
from david_cli.network.david import David, DavidConfig
from david_cli.network.weights import save_network

CPU = torch.device("cpu")
TINY = DavidConfig(modules=1, branches=(7,), widths=(4, 8, 8), attention_widths=(4, 4))


@dataclass(frozen=True)
class Config:
    frames: int = 7


class Fake(nn.Module):
    """A network of known arithmetic: ``change`` turns the window into the output."""

    total_stride = 16

    def __init__(self, change: Callable[[Tensor], Tensor], frames: int = 7):
        super().__init__()
        self.change, self.config = change, Config(frames)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, window: Tensor) -> Tensor:
        self.seen.append(tuple(window.shape))
        return self.change(window)


def centre(window: Tensor) -> Tensor:
    return window[:, window.shape[1] // 2]


def halved_plus_quarter(window: Tensor) -> Tensor:
    return 0.5 * centre(window) + 0.25


def blurred(window: Tensor) -> Tensor:
    return F.avg_pool2d(centre(window), 9, stride=1, padding=4)


def hungry(pixels: int, change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Runs out of memory above so many pixels, as CUDA says it."""

    def run(window: Tensor) -> Tensor:
        if window.shape[-1] * window.shape[-2] > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return change(window)

    return run


def nan_in_half(window: Tensor) -> Tensor:
    return halved_plus_quarter(window) * (1.0 if window.dtype == torch.float32 else torch.nan)


def make(change: Callable[[Tensor], Tensor], **settings: object) -> Deblurrer:
    settings = {"device": CPU, "tile": 0, "overlap": 16, "guard": False} | settings
    return Deblurrer(Fake(change), **settings)  # type: ignore[arg-type]


def windows(batch: int = 1, height: int = 150, width: int = 210) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 7, 3, height, width, generator=generator)


class TestTiles:
    @pytest.mark.parametrize("size", [(1, 1), (3, 130), (64, 64), (150, 210)])
    @pytest.mark.parametrize("tile", [0, 32, 64, 100, None])
    def test_known_arithmetic_through_any_tile(
        self, size: tuple[int, int], tile: int | None
    ) -> None:
        window = 3 * windows(2, *size) - 1  # far outside [0, 1]: nothing may be clipped
        output = make(halved_plus_quarter, tile=tile)(window)
        assert output.dtype == torch.float32
        assert torch.allclose(output, 0.5 * window[:, 3] + 0.25, atol=1e-6)

    def test_no_tile_is_larger_than_asked_for(self) -> None:
        deblurrer = make(centre, tile=64)
        deblurrer(windows())
        assert max(max(shape[-2:]) for shape in deblurrer.network.seen) <= 64  # type: ignore[attr-defined]

    def test_zero_is_one_whole_frame(self) -> None:
        deblurrer = make(centre, tile=0)
        deblurrer(windows())
        assert deblurrer.network.seen == [(1, 7, 3, 150, 210)]  # type: ignore[attr-defined]

    def test_a_real_network_tiled_is_close_to_itself_whole(self) -> None:
        torch.manual_seed(0)
        network = David(TINY)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.08)
        window = windows(1, 150, 500)
        whole = Deblurrer(network, device=CPU, tile=0, guard=False)(window)
        tiled = Deblurrer(network, device=CPU, tile=192, overlap=64, guard=False)(window)
        change = (whole - window[:, 3]).square().mean()
        assert change > 1e-5
        assert (tiled - whole).square().mean() < 1e-3 * change

    @pytest.mark.parametrize(("tile", "overlap"), [(-1, 16), (8, 0), (31, 0), (90, 64), (64, -1)])
    def test_impossible_tiles(self, tile: int, overlap: int) -> None:
        with pytest.raises(UsageError, match=r"choose"):
            make(centre, tile=tile, overlap=overlap)


class TestMemory:
    @pytest.mark.parametrize("change", [centre, halved_plus_quarter, blurred])
    @pytest.mark.parametrize("tile", [0, 128])
    def test_smaller_tiles_same_picture_remembered(
        self, change: Callable[[Tensor], Tensor], tile: int
    ) -> None:
        window = windows()
        deblurrer = make(hungry(96 * 96, change), tile=tile, overlap=32)
        assert torch.allclose(deblurrer(window), change(window), atol=1e-5)
        halved = deblurrer.events.tile_halved
        assert halved >= 1
        assert 0 < deblurrer.tile < 128
        assert torch.allclose(deblurrer(window), change(window), atol=1e-5)
        assert deblurrer.events.tile_halved == halved

    def test_too_little_for_any_tile(self) -> None:
        with pytest.raises(DeviceError, match=r"cpu has not enough free memory.*--device"):
            make(hungry(100, centre))(windows())

    def test_other_errors_are_not_swallowed(self) -> None:
        def broken(window: Tensor) -> Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

        deblurrer = make(broken)
        with pytest.raises(RuntimeError, match="mat1"):
            deblurrer(windows())
        assert deblurrer.events.tile_halved == 0

    def test_no_frame_is_lost_when_memory_runs_out_midway(self) -> None:
        calls = itertools.count()

        def run(window: Tensor) -> Tensor:
            if next(calls) == 5:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
            return halved_plus_quarter(window)

        frames = list(windows(1)[0]) * 3
        sharp = list(make(run).stream(frames, is_cut=None))
        assert len(sharp) == len(frames)
        assert all(
            torch.allclose(a, 0.5 * b + 0.25, atol=1e-6) for a, b in zip(sharp, frames, strict=True)
        )

    def test_the_words_of_this_machine_are_understood(self) -> None:
        with pytest.raises(RuntimeError) as info:
            torch.empty(2**60, dtype=torch.uint8)
        assert is_out_of_memory(info.value)
        assert is_out_of_memory(MemoryError())
        assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
        assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB"))
        assert not is_out_of_memory(RuntimeError("expected scalar type Half but found Float"))
        assert not is_out_of_memory(ValueError("out of memory"))

    @pytest.mark.parametrize("free", [0, 10**6, 10**8, 10**9, 10**10, 10**12])
    def test_tiles_from_free_memory(self, free: int) -> None:
        tile = tile_for_memory(free, CPU, torch.float32, 16)
        assert tile % 16 == 0
        assert tile >= 64
        assert tile == 64 or 2000 * tile**2 <= free
        assert tile <= tile_for_memory(free, torch.device("cuda"), torch.float16, 16)

    def test_halving_ends(self) -> None:
        sizes = [1000]
        while (half := halved_tile(sizes[-1], 16)) is not None:
            sizes.append(half)
        assert sizes == [1000, 496, 240, 112]


class TestGuard:
    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_half_precision_that_fails_is_done_again_in_float32(self, precision: str) -> None:
        window = 0.5 + 0.02 * windows(3)
        deblurrer = make(nan_in_half, precision=precision, guard=True)
        assert torch.allclose(deblurrer(window), 0.5 * window[:, 3] + 0.25, atol=1e-6)
        assert (deblurrer.events.retried, deblurrer.events.kept) == (3, 0)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 0.2, -0.2])
    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_only_the_bad_frame_is_kept_from_the_source(self, bad: float, precision: str) -> None:
        def spoil(window: Tensor) -> Tensor:
            picture = centre(window).clone()
            picture[window[:, 0, 0, 0, 0] > 2] += bad
            return picture + 0.01

        window = windows(3)
        window[1, 0, 0, 0, 0] = 3
        deblurrer = make(spoil, precision=precision, guard=True)
        output = deblurrer(window)
        assert torch.equal(output[1], window[1, 3])
        assert torch.allclose(output[[0, 2]], window[[0, 2], 3] + 0.01, atol=2e-3)
        events = deblurrer.events
        assert (events.retried, events.kept) == (int(precision == "fp16"), 1)
        assert any("1 frame left as in the source" in line for line in events.lines())

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    @pytest.mark.parametrize("value", [1e6, 1e30, float("inf"), float("nan")])
    def test_what_no_network_can_stand_is_delivered_as_it_is(
        self, precision: Precision, value: float
    ) -> None:
        """In the network as it is run, attention included, where infinities become NaN."""
        torch.manual_seed(3)
        network = David(DavidConfig(widths=(4, 8), attention_widths=(4, 8), leak=0.1))
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.15)
        window = windows(1, 40, 56)
        window[0, 3, 0, 5, 5] = value
        deblurrer = Deblurrer(network, device=CPU, precision=precision, tile=0, sharp_above=1.0)
        assert torch.equal(deblurrer(window).nan_to_num(), window[:, 3].nan_to_num())
        events = deblurrer.events
        assert (events.retried, events.kept) == (int(precision != "fp32"), 1)
        assert not deblurrer.spares(deblurrer.enter(window[:, 3]))

    def test_one_pixel_that_is_not_finite_suffices(self) -> None:
        source = windows()[:, 3]
        output = source.clone()
        assert is_sound(source, output).all()
        output[0, 2, 149, 209] = torch.inf
        assert not is_sound(source, output).any()

    def test_one_spoiled_corner_suffices(self) -> None:
        source = windows(1, 256, 256)[:, 3]
        output = source.clone()
        output[..., :64, :64] += 0.2
        assert not is_sound(source, output).any()

    def test_a_sound_result_is_left_alone(self) -> None:
        window = windows()
        deblurrer = make(blurred, guard=True)
        assert torch.equal(deblurrer(window), blurred(window))
        assert deblurrer.events.lines() == []

    def test_without_the_guard_everything_passes(self) -> None:
        assert make(lambda w: centre(w) + torch.nan)(windows()).isnan().all()

    def test_the_truth_passes_on_the_heaviest_blur(self, shared_data: Path) -> None:
        for clip in sorted((shared_data / "val" / "pairs").iterdir()):
            blurry, sharp = (picture(clip / level / "0005.webp") for level in ("blur15", "sharp"))
            assert is_sound(blurry, sharp).all(), clip.name


def picture(path: Path) -> Tensor:
    pixels = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy())
    return pixels.permute(2, 0, 1)[None].float() / 255


def _network_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("david-network")]


class TestStream:
    def test_order_and_edges(self) -> None:
        frames = [torch.full((3, 20, 30), i / 20) for i in range(12)]
        sharp = list(make(lambda window: window.mean(1)).stream(frames, is_cut=None))
        means = [round(float(frame.mean()) * 20 * 7) for frame in sharp]
        padded = np.pad(np.arange(12), 3, mode="reflect")
        assert means == [padded[i : i + 7].sum() for i in range(12)]

    def test_scenes_together_are_scenes_apart(self) -> None:
        scenes = [windows(1, 40, 60)[0, :n] * 0.2 + level for n, level in ((5, 0.0), (2, 0.8))]
        deblurrer = make(lambda window: window.mean(1))
        cut = list(deblurrer.stream([*scenes[0], *scenes[1]]))
        apart = [*deblurrer.stream(scenes[0]), *deblurrer.stream(scenes[1])]
        assert all(torch.equal(a, b) for a, b in zip(cut, apart, strict=True))
        uncut = list(deblurrer.stream([*scenes[0], *scenes[1]], is_cut=None))
        assert not torch.allclose(uncut[4], apart[4])

    def test_another_size_is_another_scene(self) -> None:
        frames = [torch.rand(3, *size) for size in [(20, 30)] * 4 + [(30, 20)] + [(20, 30)] * 2]
        sharp = list(make(centre).stream(frames, is_cut=None))
        assert all(torch.equal(a, b) for a, b in zip(sharp, frames, strict=True))

    @pytest.mark.parametrize("workers", [1, 3])
    def test_lazy(self, workers: int) -> None:
        taken = 0

        def frames() -> Iterator[Tensor]:
            nonlocal taken
            for count in range(1, 50):
                taken = count
                yield torch.rand(3, 8, 8)

        stream = make(centre, crew=Crew(workers, 1)).stream(frames(), is_cut=None)
        for i in range(10):
            next(stream)
            assert taken == i + 4 + (workers - 1)

    @pytest.mark.parametrize(("edge", "at_once"), [(8, 3), (2048, 2), (2900, 1)])
    def test_large_frames_are_fewer_at_once(self, edge: int, at_once: int) -> None:
        """None of them is copied here; but each in work would be, several times."""
        taken: list[int] = []

        def frames() -> Iterator[Tensor]:
            for count in range(5):
                taken.append(count)
                yield torch.zeros(()).expand(3, edge, edge)

        deblurrer = make(lambda window: window[:, 0], crew=Crew(3, 1), precision="fp32")
        deblurrer.frames = 1
        stream = deblurrer.stream(frames(), is_cut=None)
        next(stream)
        assert len(taken) == at_once
        stream.close()  # type: ignore[attr-defined]

    def test_who_stops_early_leaves_nothing_behind(self) -> None:
        threads = torch.get_num_threads()
        stream = make(centre, crew=Crew(3, 1)).stream(torch.rand(9, 3, 8, 8), is_cut=None)
        next(stream)
        assert _network_threads()
        del stream
        assert not _network_threads()
        assert torch.get_num_threads() == threads

    def test_an_error_in_the_network_comes_out_and_ends_it(self) -> None:
        def fail(window: Tensor) -> Tensor:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            list(make(fail, crew=Crew(3, 1)).stream(torch.rand(9, 3, 8, 8), is_cut=None))
        assert not _network_threads()

    def test_a_window_of_another_length(self) -> None:
        frames = [torch.rand(3, 8, 8) for _ in range(4)]
        deblurrer = Deblurrer(Fake(centre, frames=3), device=CPU, guard=False)
        sharp = list(deblurrer.stream(frames))
        assert all(torch.equal(a, b) for a, b in zip(sharp, frames, strict=True))
        assert {shape[1] for shape in deblurrer.network.seen} == {3}  # type: ignore[attr-defined]

    def test_no_frames(self) -> None:
        assert list(make(centre).stream([])) == []


class TestLoading:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        torch.manual_seed(1)
        save_network(David(TINY), tmp_path / "mine.safetensors", {"steps": 0})
        return tmp_path / "mine.safetensors"

    def test_a_file_alone_suffices(self, weights: Path) -> None:
        deblurrer = load_deblurrer(weights, device="cpu", tile="256")
        precision = "bf16" if multiplies_bf16() else "fp32"
        assert (deblurrer.name, deblurrer.precision, deblurrer.tile) == ("mine", precision, 256)
        window = windows(1, 33, 47)
        assert torch.allclose(deblurrer(window), window[:, 3], atol=1e-6)  # untrained: identity

    def test_a_network_that_gives_a_whole_picture_is_not_rounded_to_bf16(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(device_of, "multiplies_bf16", lambda: True)
        assert prepare_deblurrer(Fake(centre), device="cpu").precision == "fp32"
        assert prepare_deblurrer(Fake(centre), device="cpu", precision="bf16").precision == "bf16"
        assert prepare_deblurrer(David(TINY), device="cpu").precision == "bf16"

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_precisions_agree(self, weights: Path, precision: str) -> None:
        window = windows(1, 33, 47)
        exact = load_deblurrer(weights, device="cpu", precision="fp32")(window)
        deblurrer = load_deblurrer(weights, device="cpu", precision=precision)
        tolerance = {"fp16": 1e-3, "bf16": 8e-3}[precision]
        assert torch.allclose(deblurrer(window), exact, atol=tolerance)
        assert deblurrer.events.retried == 0

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    @pytest.mark.parametrize("tile", [0, 32])
    def test_half_precision_does_not_round_what_it_leaves_alone(
        self, precision: str, tile: int
    ) -> None:
        """Light of 100 is seen as 3, of which half precision knows 9 bits behind the point."""
        window = torch.rand(1, 7, 3, 48, 64) * 4 - 1
        deblurrer = Deblurrer(Fake(centre), device=CPU, precision=precision, tile=tile, overlap=16)
        tolerance = 0 if tile == 0 else 1e-6  # of blending
        assert (deblurrer(window) - window[:, 3]).abs().max() <= tolerance

    def test_auto_tile_is_half_as_long_again_as_the_overlap(self, weights: Path) -> None:
        deblurrer = load_deblurrer(weights, device="cpu", overlap=1000)
        assert deblurrer.tile >= 1500

    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"device": "gpu"}, UsageError, "no device is called 'gpu'"),
            ({"device": "cuda:99"}, DeviceError, r"cuda:99 is not available.*cpu"),
            ({"precision": "int8"}, UsageError, "no precision is called 'int8'"),
            ({"tile": "huge"}, UsageError, "tile of huge"),
            ({"tile": -5}, UsageError, "tile of -5"),
            ({"tile": 64}, UsageError, "at least 240"),
            ({"model": "davina"}, ModelError, "davina"),
        ],
    )
    def test_what_cannot_be(
        self,
        weights: Path,
        settings: dict[str, str],
        error: type[Exception],
        message: str,
    ) -> None:
        with pytest.raises(error, match=message) as info:
            load_deblurrer(**{"model": weights, "device": "cpu"} | settings)  # type: ignore[arg-type]
        assert "\n" not in str(info.value)

    def test_cuda_asked_for_and_absent(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("it is here")
        with pytest.raises(DeviceError, match="cuda is not available: this machine has"):
            resolve_device("cuda")
        assert resolve_device("auto").type in ("cpu", "mps")


@pytest.mark.needs_cuda
def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    network = David(TINY)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    window = windows(2)
    exact = Deblurrer(network, device=CPU, tile=0, guard=False)(window)
    device = torch.device("cuda:0")
    for precision, tile in itertools.product(("fp32", "fp16"), (0, 128, None)):
        deblurrer = Deblurrer(network, device=device, precision=precision, tile=tile, overlap=32)  # type: ignore[arg-type]
        assert torch.allclose(deblurrer(window).cpu(), exact, atol=2e-2)
        assert deblurrer.events.lines() == []


def test_a_deblurrer_that_nobody_needs_is_gone() -> None:
    """At once: the memory of a GPU does not wait for the collector of cycles."""
    gc.disable()
    try:
        deblurrer = make(centre, guard=True)
        list(deblurrer.stream(torch.rand(4, 3, 16, 16)))
        reference = weakref.ref(deblurrer)
        del deblurrer
        assert reference() is None
    finally:
        gc.enable()
