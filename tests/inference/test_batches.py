"""Several windows at once: the same pictures as one by one, whatever happens on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from david_cli.errors import DeviceError
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.engine import Entered
from david_cli.inference.pipeline import deblur_video
from david_cli.inference.report import Progress, Report
from david_cli.inference.workers import Crew
from david_cli.network.david import David, DavidConfig
from david_cli.sharpness import SHARP
from david_cli.video.streams import EncodeOptions
from tests.footage import Look, Planes, known_deblurrer, plain_decode, same, write_video
from tests.inference.test_deblurrer import Fake, centre, hungry, make, windows
from tests.inference.test_spared import Counting, _mixed
from tests.jobs.runs import scenes
from tests.roundtrip import Clip, make_clip, packets

CPU = torch.device("cpu")
FFV1 = EncodeOptions(codec="ffv1")
LOOK = Look("yuv420p", 1, 1)
TIMES = (1, 2, 1, 3, 9, 1, 1, 14, 2, 1, 1)
"""How often each picture of a clip is shown."""
ONE = Crew(1, 1)
CREWS = [Crew(1, 1, 3), Crew(2, 1, 2), Crew(1, None, 8)]


class Seen(Counting):
    """Keeps how many windows came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, window: Tensor) -> Tensor:
        self.batches.append(len(window))
        return super().forward(window)


def attentive(crew: Crew, **settings: object) -> Deblurrer:
    """A random network whose attention lets every branch count everywhere."""
    torch.manual_seed(4)
    network = David(DavidConfig(modules=2, branches=(1, 7), widths=(4, 8), attention_widths=(4,)))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return Deblurrer(network, device=CPU, crew=crew, **{"tile": 0} | settings)  # type: ignore[arg-type]


def repeated(pictures: Sequence[Planes], times: Sequence[int]) -> list[Planes]:
    return [p for p, count in zip(pictures, times, strict=True) for _ in range(count)]


def deblurred(source: Path, deblurrer: Deblurrer, **options: object) -> tuple[Report, list[Planes]]:
    target = source.with_suffix(".sharp.mkv")
    settings = {"encode": FFV1, "overwrite": True} | options
    report = deblur_video(source, target, deblurrer, **settings)  # type: ignore[arg-type]
    return report, plain_decode(target).frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, with pictures that are repeated and two that stand still for long."""
    path = tmp_path_factory.mktemp("clips") / "in.mkv"
    return write_video(path, repeated(scenes((6, 1, 4)), TIMES), LOOK)


class TestVideo:
    @pytest.mark.parametrize("crew", CREWS, ids=str)
    @pytest.mark.parametrize("part", [(None, None), (Fraction(7, 25), Fraction(29, 25))], ids=str)
    def test_the_same_file(
        self, clip: Path, crew: Crew, part: tuple[Fraction | None, Fraction | None]
    ) -> None:
        span = {"start": part[0], "end": part[1]}
        before, one_by_one = deblurred(clip, attentive(ONE), **span)
        after, together = deblurred(clip, attentive(crew), **span)
        assert same(together, one_by_one)
        assert (after.frames, after.events) == (before.frames, before.events)
        assert after.events.repeated > 10
        assert after.events.kept == 0

    @pytest.mark.parametrize("length", [1, 2, 3, 4, 7])
    def test_any_length(self, length: int, tmp_path: Path) -> None:
        source = write_video(tmp_path / "in.mkv", scenes((length,)), LOOK)
        network = Seen()
        _, together = deblurred(source, known_deblurrer(network, crew=Crew(1, 1, 3)))
        _, one_by_one = deblurred(source, known_deblurrer(Counting(), crew=ONE))
        assert same(together, one_by_one)
        whole, rest = divmod(length, 3)
        assert network.batches == [3] * whole + [rest] * (rest > 0)

    def test_sharp_frames_leave_the_batch(self, tmp_path: Path) -> None:
        frames, is_sharp = _mixed()
        source = write_video(tmp_path / "in.mkv", frames, LOOK)
        results = []
        for crew in (ONE, Crew(1, 1, 4)):
            network = Seen()
            deblurrer = known_deblurrer(network, crew=crew)
            deblurrer.sharp_above = SHARP
            results.append(deblurred(source, deblurrer))
        (before, one_by_one), (after, together) = results
        assert same(together, one_by_one)
        assert after.events == before.events
        assert after.events.sharp == sum(is_sharp) == 3
        assert network.batches == [3, 2, 1]  # of 4, 4 and 1, less the sharp ones

    def test_sound_and_times_are_the_sources(self, tmp_path: Path) -> None:
        times = (0, 3, 4, 9, 11, 12, 20, 21, 30, 33)
        clip = Clip(times=times, options={"bf": "0"}, audio="aac")
        source = make_clip(tmp_path / "in.mp4", clip)
        target = tmp_path / "out.mp4"
        deblur_video(source, target, known_deblurrer(crew=Crew(1, None, 4)))
        assert plain_decode(target).times == plain_decode(source).times
        assert packets(target, "audio") == packets(source, "audio")

    def test_progress_after_every_frame_and_all_time_counted(self, clip: Path) -> None:
        steps: list[Progress] = []
        report, _ = deblurred(clip, attentive(Crew(1, 1, 5)), on_progress=steps.append)
        assert [step.done for step in steps] == list(range(1, sum(TIMES) + 1))
        assert report.stage_seconds.keys() == {"decode", "colour", "network", "encode"}

    def test_no_more_is_taken_than_batches_need(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Three for the window, and whole batches: that at work, and those ahead."""
        source = write_video(tmp_path / "in.mkv", scenes((40,)), LOOK)
        batch, taken = 3, 0
        deblurrer = known_deblurrer(crew=Crew(1, None, batch))
        enter = deblurrer.enter

        def counted(rgb: Tensor, again: Callable[[], Tensor]) -> Entered:
            nonlocal taken
            taken += 1
            return enter(rgb, again)

        def look(step: Progress) -> None:
            whole = -(-step.done // batch) + deblurrer.crew.ahead
            assert taken <= whole * batch + 3

        monkeypatch.setattr(deblurrer, "enter", counted)
        deblurred(source, deblurrer, on_progress=look)
        assert taken == 40

    def test_who_stops_it_finds_nothing_left(self, clip: Path) -> None:
        def stop(step: Progress) -> None:
            if step.done == 5:
                raise KeyboardInterrupt

        target = clip.with_name("stopped.mkv")
        with pytest.raises(KeyboardInterrupt):
            deblur_video(clip, target, attentive(Crew(2, 1, 3)), encode=FFV1, on_progress=stop)
        assert not list(clip.parent.glob("*stopped*"))


SIZES = st.sampled_from([(8, 8), (8, 12), (16, 8)])


class TestStream:
    @given(
        st.lists(st.tuples(SIZES, st.sampled_from([0.1, 0.9])), max_size=9),
        st.lists(st.integers(1, 4), min_size=9, max_size=9),
        st.sampled_from(CREWS),
    )
    def test_sizes_and_cuts_at_any_place(
        self, scenes: list[tuple[tuple[int, int], float]], lengths: list[int], crew: Crew
    ) -> None:
        generator = torch.Generator().manual_seed(len(scenes))
        frames = [
            level + 0.05 * torch.rand(3, *size, generator=generator)
            for (size, level), length in zip(scenes, lengths, strict=False)
            for _ in range(length)
        ]
        one_by_one, together = (
            list(make(lambda window: window.mean(1), crew=each).stream(frames))
            for each in (ONE, crew)
        )
        assert len(together) == len(frames)
        assert all(map(torch.equal, together, one_by_one))

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    @pytest.mark.parametrize("tile", [0, 48])
    def test_a_real_network(self, precision: str, tile: int) -> None:
        frames = list(torch.rand(8, 3, 40, 72, generator=torch.Generator().manual_seed(1)))
        settings = {"precision": precision, "tile": tile, "overlap": 8, "guard": False}
        one_by_one, together = (
            list(attentive(crew, **settings).stream(frames, is_cut=None))
            for crew in (ONE, Crew(1, 1, 3))
        )
        tolerance = {"fp32": 1e-6, "fp16": 2e-3, "bf16": 1e-2}[precision]
        for a, b, source in zip(together, one_by_one, frames, strict=True):
            assert (a - b).abs().max() <= tolerance
            assert (a - source).abs().max() > 0.01

    def test_windows_come_in_whole_batches(self) -> None:
        taken = 0

        def frames() -> Iterator[Tensor]:
            nonlocal taken
            for count in range(1, 50):
                taken = count
                yield torch.rand(3, 8, 8)

        deblurrer = make(centre, crew=Crew(1, 1, 3))
        stream = deblurrer.stream(frames(), is_cut=None)
        for i in range(9):
            next(stream)
            assert taken == 3 + 3 * (i // 3 + 1)
        assert [shape[0] for shape in deblurrer.network.seen] == [3, 3, 3]  # type: ignore[attr-defined]

    def test_large_frames_go_alone(self) -> None:
        deblurrer = make(lambda window: window[:, 0], crew=Crew(1, 1, 3), precision="fp32")
        deblurrer.frames = 1
        list(deblurrer.stream(torch.zeros(()).expand(3, 1024, 600) for _ in range(3)))
        assert [shape[0] for shape in deblurrer.network.seen] == [1, 1, 1]  # type: ignore[attr-defined]


def hungry_batch(pixels: int, change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Runs out of memory above so many pixels in all windows together."""

    def run(window: Tensor) -> Tensor:
        if len(window) * window.shape[-2] * window.shape[-1] > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return change(window)

    return run


class TestMemory:
    def sizes(self, deblurrer: Deblurrer) -> list[tuple[int, int]]:
        """Windows, and the longer edge, of each call of the network."""
        assert isinstance(deblurrer.network, Fake)
        return [(shape[0], max(shape[-2:])) for shape in deblurrer.network.seen]

    def test_fewer_windows_first_and_for_good(self) -> None:
        frames = list(torch.rand(12, 3, 64, 64))
        deblurrer = make(hungry_batch(2 * 64 * 64, centre), crew=Crew(1, 1, 6))
        sharp = list(deblurrer.stream(frames, is_cut=None))
        assert all(map(torch.equal, sharp, frames))
        assert [windows for windows, _ in self.sizes(deblurrer)] == [6, 3, *[1] * 12]
        assert (deblurrer.tile, deblurrer.events.tile_halved) == (0, 0)

    def test_then_smaller_tiles(self) -> None:
        window = windows(4)
        deblurrer = make(hungry_batch(120 * 120, centre), overlap=32)
        assert torch.allclose(deblurrer(window), window[:, 3], atol=1e-6)
        seen = self.sizes(deblurrer)
        assert seen[:4] == [(4, 210), (2, 210), (1, 210), (1, 96)]
        assert {windows for windows, _ in seen[2:]} == {1}
        assert deblurrer.events.tile_halved == 1

    def test_several_workers_take_less_once(self) -> None:
        frames = list(torch.rand(24, 3, 64, 64))
        deblurrer = make(hungry_batch(2 * 64 * 64, centre), crew=Crew(3, 1, 4))
        assert all(map(torch.equal, deblurrer.stream(frames, is_cut=None), frames))
        assert {windows for windows, _ in self.sizes(deblurrer)} == {4, 2}

    def test_what_another_worker_met_meanwhile_stays(self) -> None:
        def run(window: Tensor) -> Tensor:
            if len(window) == 4:
                deblurrer(windows(3))
            if len(window) > 1:
                raise MemoryError
            return centre(window)

        deblurrer = make(run)
        deblurrer(windows(4))
        assert [windows for windows, _ in self.sizes(deblurrer)] == [4, 3, *[1] * 3, *[1] * 4]

    def test_a_video_is_the_same(self, clip: Path) -> None:
        plain, poor = Counting(), Counting()
        poor.forward = hungry_batch(2 * 64 * 48, poor.forward)  # type: ignore[method-assign]
        _, enough = deblurred(clip, known_deblurrer(plain, crew=ONE))
        report, little = deblurred(clip, known_deblurrer(poor, crew=Crew(1, 1, 5)))
        assert same(enough, little)
        assert report.warnings == ()

    def test_too_little_for_one(self) -> None:
        with pytest.raises(DeviceError, match="not enough free memory"):
            make(hungry(100, centre))(windows(3))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_one_bad_frame_of_a_batch_is_replaced(precision: str) -> None:
    """In float32 where that is sound, else by the source; the others are as they were."""

    def spoil(window: Tensor) -> Tensor:
        picture = centre(window) + 0.01
        first = centre(window)[:, 0, 0, 0]
        in_half = (first > 0.9) & (window.dtype is not torch.float32)
        picture[(first < 0.1) | in_half] = torch.nan
        return picture

    frames = [torch.full((3, 16, 16), level) for level in (0.5, 0.05, 0.6, 0.95, 0.4, 0.55, 0.3)]
    deblurrer = make(spoil, precision=precision, guard=True, crew=Crew(1, 1, 3))
    sharp = list(deblurrer.stream(frames, is_cut=None))
    for before, after in zip(frames, sharp, strict=True):
        change = 0.0 if before[0, 0, 0] < 0.1 else 0.01
        assert torch.allclose(after, before + change, atol=1e-6 if precision == "fp32" else 1e-3)
    assert torch.equal(sharp[1], frames[1])
    expected = {"retried": 0 if precision == "fp32" else 2, "kept": 1}
    assert {name: dataclasses.asdict(deblurrer.events)[name] for name in expected} == expected
