"""In segments or in one piece: the same frames at the same times, whatever the segments are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.loading import load_deblurrer
from david_cli.jobs.plan import Job
from david_cli.video.frame import Fields
from david_cli.video.streams import EncodeOptions
from tests.footage import Plain, packets, plain_decode, same, write_video
from tests.jobs.runs import LOOK, dealt_out, resumed, scenes, whole
from tests.video.clips import Clip, make_clip
from tests.video.test_deinterlace import woven, write

FFV1 = EncodeOptions(codec="ffv1")
SCENES = (5, 1, 2, 9, 3, 4, 1, 1, 8)
FRAMES = sum(SCENES)
CLOCK = Fraction(1, 24000)
UNEVEN = tuple(1001 * time for time in (0, 3, 4, 9, 11, 12, 20, 21, 22, 30, 31, 40, 45, 46, 47, 60))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many scenes, in the codec and with the reordering that most files have."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    look = replace(LOOK, codec="libx264")
    return write_video(path, scenes(SCENES), look, options={"g": "7", "bf": "2", "crf": "12"})


@pytest.fixture(scope="module")
def in_one_piece(film: Path) -> Plain:
    target = film.with_name("whole.mkv")
    whole(Job(source=film, encode=FFV1), target)
    return plain_decode(target)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(length=st.integers(1, FRAMES))
def test_any_segments_give_the_same_frames(film: Path, in_one_piece: Plain, length: int) -> None:
    target = film.with_name(f"segments{length}.mkv")
    target.unlink(missing_ok=True)
    plan, result = dealt_out(Job(source=film, target=target, encode=FFV1), length)
    assert plan.segments == -(-FRAMES // length)
    found = plain_decode(target)
    assert same(found.frames, in_one_piece.frames)
    assert (found.times, found.durations) == (in_one_piece.times, in_one_piece.durations)
    assert (result.frames, result.warnings) == (FRAMES, ())


def test_a_halo_that_is_too_short_shows(
    film: Path, in_one_piece: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with two frames of halo, where nothing repeats, it does."""
    from david_cli.jobs.plan import Plan

    part = Plan.part
    monkeypatch.setattr(
        Plan, "part", lambda self, index, halo, exact: part(self, index, 2, exact=exact)
    )
    target = film.with_name("short.mkv")
    dealt_out(Job(source=film, target=target, encode=FFV1), 6)
    assert not same(plain_decode(target).frames, in_one_piece.frames)


@pytest.mark.parametrize(
    "name",
    [
        "in.ts",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("in.mkv", "in.mov", "in.nut")),
    ],
)
def test_any_container_can_be_entered_in_the_middle(name: str, tmp_path: Path) -> None:
    """By seeking where that leads to the right frames, else from the beginning."""
    look = replace(LOOK, codec="libx264")
    source = write_video(tmp_path / name, scenes(SCENES), look, options={"g": "6", "bf": "2"})
    _compare(Job(source=source, encode=FFV1), 8)


def test_uneven_times_and_sound_that_starts_later(tmp_path: Path) -> None:
    clip = Clip(times=UNEVEN, time_base=CLOCK, audio="aac", audio_start=4800)
    source = make_clip(tmp_path / "in.mp4", clip)
    _compare(Job(source=source, encode=FFV1), 5)


def test_a_picture_that_starts_late_and_a_part_of_it(tmp_path: Path) -> None:
    times = tuple(50 + time for time in range(30))
    source = make_clip(tmp_path / "in.mkv", Clip(times=times, audio="aac"))
    _compare(Job(source=source, encode=FFV1), 7)
    part = {"start": Fraction(1, 5), "end": Fraction(1)}
    target = _compare(Job(source=source, encode=FFV1, **part), 6, name="part")
    assert len(plain_decode(target).times) == 20
    assert plain_decode(target).times[0] == 0


MIXED: tuple[Fields | None, ...] = (None, None, "tff", None, "bff", "bff", "tff", None, None)


@pytest.mark.parametrize(
    "fields",
    [
        MIXED,
        pytest.param(("tff",), marks=pytest.mark.slow),
        pytest.param((None,) * 11 + ("bff",) * 20, marks=pytest.mark.slow),
    ],
    ids=["mixed", "all", "from the middle"],
)
def test_deinterlacing_looks_over_the_edge(
    fields: tuple[Fields | None, ...], tmp_path: Path
) -> None:
    """bwdif takes the frames before and after; whether it runs depends on those before."""
    marked = [fields[number % len(fields)] for number in range(24)]
    frames = [
        replace(woven(7, [order])[number % 7], pts=number) for number, order in enumerate(marked)
    ]
    source = write(tmp_path / "in.mkv", frames)
    _compare(Job(source=source, encode=FFV1), 4)
    _compare(Job(source=source, encode=FFV1, deinterlace="bwdif"), 7, name="forced")


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [
        pytest.param("ffv1", "mkv", {"g": "5", "slicecrc": "1"}, marks=pytest.mark.slow),
        ("libx264", "mp4", {"g": "8", "bf": "2"}),
        pytest.param("mpeg4", "mkv", {"g": "5"}, marks=pytest.mark.slow),
    ],
)
def test_a_source_whose_middle_is_damaged(
    codec: str, suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    """Each segment is what the whole run would make of these frames, and ends where that ends."""
    look = replace(LOOK, codec=codec)
    source = write_video(tmp_path / f"in.{suffix}", scenes((40,)), look, options=options)
    with av.open(str(source)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data, (place, size) = bytearray(source.read_bytes()), places[22]
    inside = slice(place + 4, place + size - 4)
    data[inside] = bytes((code * 7 + 13) % 256 for code in data[inside])
    source.write_bytes(data)
    target = _compare(Job(source=source, encode=FFV1), 6)
    assert 0 < len(plain_decode(target).frames) < 40


def test_strength_0_gives_the_source(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    resumed(Job(source=film, target=target, encode=FFV1, strength=0.0), 9)
    assert same(plain_decode(target).frames, plain_decode(film).frames)


@pytest.mark.weights
def test_real_weights(film: Path, tmp_path: Path) -> None:
    worker = load_deblurrer("david-lite", device="cpu", tile=0)
    job = Job(source=film, encode=FFV1, end=Fraction(4, 5))
    whole(job, tmp_path / "whole.mkv", worker)
    dealt_out(replace(job, target=tmp_path / "segments.mkv"), 9, worker)
    a, b = plain_decode(tmp_path / "whole.mkv"), plain_decode(tmp_path / "segments.mkv")
    assert len(a.frames) == 20
    assert same(a.frames, b.frames)


def _compare(job: Job, length: int, *, name: str = "x", worker: Deblurrer | None = None) -> Path:
    """Run both ways; the segment run must give what the other one gives."""
    folder = job.source.parent
    one, many = folder / f"{name}.one.mkv", folder / f"{name}.many.mkv"
    report = whole(job, one, worker)
    _, result = dealt_out(replace(job, target=many), length, worker)
    a, b = plain_decode(one), plain_decode(many)
    assert same(a.frames, b.frames)
    assert (a.times, a.durations, a.tags) == (b.times, b.durations, b.tags)
    assert all(before < after for before, after in pairwise(b.times))
    assert result.frames == report.frames == len(b.frames)
    planned = (*report.plan.notes, *report.plan.losses)
    assert result.warnings == tuple(line for line in report.warnings if line not in planned)
    with av.open(str(job.source)) as container:
        has_sound = bool(container.streams.audio)
    if has_sound:
        assert packets(one, "audio") == packets(many, "audio")
    return many
