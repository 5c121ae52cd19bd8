"""What `verify_file` says of results that are right, and of results each wrong in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from david_cli import deblur_video
from david_cli.errors import OutputError, UsageError
from david_cli.inference.report import Report
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, OutputPlan, plan_output
from david_cli.video.verify import Finding, Verification, verify_file
from tests.footage import KnownNetwork, Look, Planes, known_deblurrer, noise, write_video
from tests.video.clips import BT601_FULL, Clip, make_clip, pass_through

FFV1 = EncodeOptions(codec="ffv1")


def _tell(output: av.container.OutputContainer) -> None:
    """A title and a language on the sound."""
    output.streams.audio[0].metadata.update(language="fre", title="Kommentar")
    output.streams.audio[0].disposition = Disposition.default | Disposition.comment


def _tell_other(output: av.container.OutputContainer) -> None:
    output.streams.audio[0].metadata.update(language="ger", title="Kommentar")
    output.streams.audio[0].disposition = Disposition.default | Disposition.comment


WHOLE = Clip(
    times=(0, 3, 4, 9, 11, 12, 20, 21),
    options={"preset": "ultrafast", "bf": "0"},
    audio="aac",
    aspect=Fraction(4, 3),
    rotation=90,
    chapters=2,
    metadata={"title": "holiday", "comment": "by the sea"},
    prepare=_tell,
)
"""Something of everything."""


def wrong(found: Verification) -> list[str]:
    return [finding.what for finding in found.of("wrong")]


def finding(found: Verification, what: str) -> Finding:
    (row,) = (row for row in found.findings if row.what == what)
    return row


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, OutputPlan]:
    """A source with something of everything, and how it would be written."""
    source = make_clip(tmp_path_factory.mktemp("whole") / "in.mp4", WHOLE)
    with VideoReader(source) as reader:
        return source, plan_output(reader, None, EncodeOptions())


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_is_what_it_is(suffix: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / f"in.{suffix}", WHOLE)
    found = verify_file(source, source)
    assert {row.verdict for row in found.findings} == {"kept"}, found.findings
    assert {"frames", "times", "audio stream 1", "chapters", "metadata", "orientation"} <= {
        row.what for row in found.findings
    }


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (replace(WHOLE, times=WHOLE.times[:-1]), ["frames"]),
        (replace(WHOLE, times=(0, 3, 5, 9, 11, 12, 20, 21)), ["times"]),
        (replace(WHOLE, color=BT601_FULL), ["range", "colour tags"]),
        (replace(WHOLE, aspect=None), ["pixel aspect"]),
        (replace(WHOLE, rotation=180), ["orientation"]),
        (replace(WHOLE, mirrored=True), ["orientation"]),
        (replace(WHOLE, chapters=1), ["chapters"]),
        (replace(WHOLE, metadata={"title": "Holiday"}), ["metadata"]),
        (replace(WHOLE, prepare=_tell_other), ["audio stream 1"]),
        (replace(WHOLE, audio_start=2400), ["audio stream 1"]),
        (replace(WHOLE, audio="libopus"), ["audio stream 1", "audio stream 1"]),
        (replace(WHOLE, audio=None, prepare=None), ["audio stream 1"]),
        (replace(WHOLE, width=64), ["size"]),
    ],
    ids=lambda value: " and ".join(value) if isinstance(value, list) else None,
)
def test_one_change_is_one_wrong_row(
    changed: Clip, expected: list[str], whole: tuple[Path, OutputPlan], tmp_path: Path
) -> None:
    result = make_clip(tmp_path / "out.mp4", changed)
    found = wrong(verify_file(whole[0], result, whole[1]))
    shorter = {"duration", "audio stream 1"} if "frames" in expected else set()
    assert set(found) - shorter == set(expected)


def test_fewer_bits_are_wrong_where_the_codec_has_them(tmp_path: Path) -> None:
    clip = Clip(codec="ffv1", pix_fmt="yuv420p10le")
    source = make_clip(tmp_path / "in.mkv", clip)
    result = make_clip(tmp_path / "out.mkv", replace(clip, pix_fmt="yuv420p"))
    assert wrong(verify_file(source, result)) == ["pixel format"]


# --- the picture ---------------------------------------------------------------------------------


def _black(frames: list[Planes]) -> list[Planes]:
    dark = tuple(np.full_like(p, 16 if i == 0 else 128) for i, p in enumerate(frames[0]))
    return [*frames[:4], dark, *frames[5:]]


def _grey(frames: list[Planes]) -> list[Planes]:
    return [tuple(np.full_like(plane, 128) for plane in planes) for planes in frames]


def _frozen(frames: list[Planes]) -> list[Planes]:
    return [*frames[:4], frames[3], *frames[5:]]


@pytest.mark.parametrize("harm", [_black, _grey, _frozen])
def test_dead_pictures_are_seen(
    harm: Callable[[list[Planes]], list[Planes]], tmp_path: Path
) -> None:
    look = Look("yuv420p", 1, 1)
    frames = noise(look, 8)
    source = write_video(tmp_path / "in.mkv", frames, look)
    result = write_video(tmp_path / "out.mkv", harm(frames), look)
    with VideoReader(source) as reader:
        plan = plan_output(reader, None, FFV1)
    assert wrong(verify_file(source, result, plan)) == ["picture"]
    assert verify_file(result, result, plan).ok, "a source may well be dead"


# --- what a container cannot hold ----------------------------------------------------------------


def _attach(output: av.container.OutputContainer) -> None:
    output.add_attachment("notes.txt", "text/plain", b"a font, say")


def test_what_the_container_cannot_hold_is_lost_and_not_wrong(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", replace(WHOLE, prepare=_attach))
    plan, _ = pass_through(source, tmp_path / "out.mp4", EncodeOptions(preset="ultrafast"))
    for found in (verify_file(source, plan.target, plan), verify_file(source, plan.target)):
        assert found.ok, found.of("wrong")
        assert [row.what for row in found.of("lost")] == ["attachment stream 2"]
    assert verify_file(source, source).of("lost") == ()


def test_milliseconds_are_all_that_matroska_keeps(tmp_path: Path) -> None:
    clip = Clip(codec="ffv1", times=[1001 * i for i in range(8)], time_base=Fraction(1, 24000))
    source = make_clip(tmp_path / "in.mov", replace(clip, codec="libx264"))
    for suffix, words in (("mkv", "to the nearest tick of 1 ms"), ("nut", "exact")):
        plan, _ = pass_through(source, tmp_path / f"out.{suffix}", FFV1)
        found = verify_file(source, plan.target, plan)
        assert found.ok, found.of("wrong")
        assert finding(found, "times").detail.startswith(words)


def test_sound_without_its_adts_headers_is_the_same_sound(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.ts", Clip(times=range(0, 90, 3), audio="aac"))
    plan, _ = pass_through(source, tmp_path / "out.mp4", EncodeOptions(preset="ultrafast"))
    found = verify_file(source, plan.target, plan)
    assert found.ok, found.of("wrong")
    assert "when decoded" in finding(found, "audio stream 1").detail


def test_titles_survive_from_mp4_to_mp4(tmp_path: Path) -> None:
    """FFmpeg reads them under another name than it writes them."""
    source = make_clip(tmp_path / "in.mp4", WHOLE)
    for suffix in ("mp4", "mkv"):
        plan, _ = pass_through(
            source, tmp_path / f"out.{suffix}", EncodeOptions(preset="ultrafast")
        )
        row = finding(verify_file(source, plan.target, plan), "audio stream 1")
        assert (row.verdict, "fre, Kommentar" in row.detail) == ("kept", True)


def test_a_language_the_container_cannot_name_is_listed(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", WHOLE)
    plan, _ = pass_through(source, tmp_path / "out.mov", EncodeOptions(preset="ultrafast"))
    found = verify_file(source, plan.target, plan)
    assert any(line.startswith("language of stream 1: MOV cannot") for line in plan.losses)
    assert finding(found, "audio stream 1").verdict == "lost"
    assert found.ok, found.of("wrong")


def test_a_part_is_compared_with_its_part(tmp_path: Path) -> None:
    clip = Clip(times=range(50), audio="aac", chapters=3, options={"preset": "ultrafast"})
    source = make_clip(tmp_path / "in.mp4", clip)
    span = {"start": Fraction(8, 10), "end": Fraction(12, 10)}
    plan, _ = pass_through(source, tmp_path / "out.mp4", EncodeOptions(preset="ultrafast"), **span)
    assert verify_file(source, plan.target, plan, **span).ok
    assert "frames" in wrong(verify_file(source, plan.target, plan))


# --- before the rename ---------------------------------------------------------------------------


def _deblurred(folder: Path, network: KnownNetwork) -> Report:
    look = Look("yuv420p", 1, 1)
    source = write_video(folder / "in.mkv", noise(look, 5), look)
    target = folder / "out.mkv"
    return deblur_video(source, target, known_deblurrer(network), encode=FFV1, verify=True)


def test_a_result_that_passes_appears(tmp_path: Path) -> None:
    report = _deblurred(tmp_path, KnownNetwork())
    assert report.verification is not None
    assert report.verification.ok
    assert report.target.is_file()


def test_a_result_that_fails_never_appears(tmp_path: Path) -> None:
    """A network that makes everything black."""
    with pytest.raises(OutputError, match=r"out\.mkv: failed the verification.*picture: .*black"):
        _deblurred(tmp_path, KnownNetwork((0, 0, 0), (0, 0, 0)))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_a_pipe_cannot_be_read_again(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip())
    with pytest.raises(UsageError, match="pipe"):
        deblur_video(source, "-", known_deblurrer(), verify=True)
