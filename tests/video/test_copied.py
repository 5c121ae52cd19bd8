"""Copied packets: none lost that the container takes, none played that the source hides."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.clips import Clip, make_clip, pass_through, read

HIDDEN = 47
"""Packets of sound that begin and end before the picture."""


def sound(path: Path) -> tuple[int, float, float]:
    """Decoded frames of sound, and where the first and the last begin in seconds."""
    with av.open(str(path)) as container:
        times = [float(frame.time or 0) for frame in container.decode(audio=0)]
    return len(times), times[0], times[-1]


def test_sound_that_an_edit_list_hides_stays_hidden(tmp_path: Path) -> None:
    """As in a clip that a phone trimmed without encoding it again."""
    clip = Clip(times=tuple(range(50)), audio="aac", audio_start=-HIDDEN * 1024)
    source = make_clip(tmp_path / "in.mp4", clip)
    count, first, last = sound(source)
    assert first == 0
    _, kept = pass_through(source, tmp_path / "out.mp4")
    assert sound(tmp_path / "out.mp4") == (count, first, last)
    assert kept.warnings == []
    _, cut = pass_through(source, tmp_path / "out.mkv")
    after = sound(tmp_path / "out.mkv")
    assert -0.13 < after[1] <= 0  # what the decoder of AAC needs stays
    assert after[2] == pytest.approx(last, abs=0.002)
    (line,) = cut.warnings
    assert line.startswith("stream 1: ") and "the source does not play them" in line


def test_priming_of_aac_is_no_hidden_sound(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(times=tuple(range(50)), audio="aac"))
    _, writer = pass_through(source, tmp_path / "out.mkv")
    assert writer.warnings == []
    assert read(source).stream("audio") == read(tmp_path / "out.mkv").stream("audio")


def test_packets_shorter_than_the_containers_clock_are_kept(tmp_path: Path) -> None:
    """As TrueHD has them, 40 samples each: Matroska counts milliseconds."""
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    rate, length, count = 48000, 40, 600
    with av.open(str(source), "w") as output:
        video = output.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 16, 16, "yuv420p"
        audio = output.add_stream("pcm_s16le", rate=rate)
        audio.codec_context.layout = "mono"
        for number in range(count * length * 25 // rate + 1):
            frame = av.VideoFrame.from_ndarray(np.full((24, 16), number, np.uint8), "yuv420p")
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for number in range(count):
            samples = np.full((1, length), number, np.int16)
            piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            piece.sample_rate, piece.pts = rate, number * length
            piece.time_base = Fraction(1, rate)
            output.mux(audio.encode(piece))
    before = read(source).stream("audio")
    assert len(before) == count
    plan, writer = pass_through(source, target)
    assert writer.warnings == [] and plan.losses == ()
    assert read(target).stream("audio") == before
