"""Whatever a video is like, at strength 0 it comes back: planes, times, tags (hypothesis)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from david_cli import deblur_video
from david_cli.inference.report import Report
from david_cli.video.frame import Matrix, Range, VideoInfo
from david_cli.video.reader import read_info
from david_cli.video.streams import EncodeOptions
from david_cli.video.verify import verify_file
from tests.footage import (
    Look,
    Plain,
    known_deblurrer,
    noise,
    plain_decode,
    same,
    write_video,
)

FORMATS = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv440p", "gray", "yuva420p"),
    *("yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le", "gbrp10le", "yuva444p10le"),
    *("yuv420p12le", "yuv422p12le", "yuv444p12le", "gray12le", "gbrp12le"),
    *("yuv420p16le", "yuv422p16le", "yuv444p16le", "gray16le", "gbrp16le"),
)
TAGS = ((2, 2, 2), (1, 1, 1), (5, 5, 6), (9, 9, 16), (9, 9, 18))
"""Matrix, primaries and transfer: untagged, BT.709, BT.601, PQ and HLG."""
CLOCKS = {  # ticks per second -> ticks per frame, of common rates
    24000: 1001,
    30000: 1001,
    60000: 1001,
    90000: 3600,
    600: 20,
    25: 1,
    1000: 41,
}
LAST_START = 3600
"""Seconds."""
MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Video:
    """What a source is like."""

    look: Look
    width: int
    height: int
    times: Sequence[int]
    time_base: Fraction
    end: int
    made_in: str
    """The container of the source."""
    container: str
    """Of the result."""


@st.composite
def videos(draw: st.DrawFn) -> Video:
    """Sizes from 1x1 on, every format, uneven steps, late starts."""
    pix_fmt = draw(st.sampled_from(FORMATS))
    matrix, primaries, transfer = draw(st.sampled_from(TAGS))
    if Look(pix_fmt).format.model == "rgb":
        matrix = Matrix.RGB
    code_range = draw(st.sampled_from([Range.UNSPECIFIED, Range.LIMITED, Range.FULL]))
    look = Look(pix_fmt, matrix, code_range, primaries=primaries, transfer=transfer)
    clock = draw(st.sampled_from(list(CLOCKS)))
    count = draw(st.integers(1, 9))
    steps = draw(st.lists(st.integers(1, 300), min_size=count, max_size=count) | st.just([1] * 5))
    start = draw(st.just(0) | st.integers(0, LAST_START * clock))
    times = list(accumulate((step * CLOCKS[clock] for step in steps), initial=start))
    size = st.integers(1, 70)
    container = st.sampled_from(["nut", "mkv", "mp4"])
    timing = times[:-1], Fraction(1, clock), times[-1]
    return Video(look, draw(size), draw(size), *timing, draw(container), draw(container))


def check(video: Video) -> None:
    """Through the whole pipeline and back."""
    frames = noise(video.look, len(video.times), video.width, video.height)
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, f"in.{video.made_in}"), Path(name, f"out.{video.container}")
        timing = {"times": video.times, "time_base": video.time_base, "end": video.end}
        write_video(source, frames, video.look, **timing, options={"slices": "1"})
        report = deblur_video(
            source, target, known_deblurrer(), strength=0, encode=EncodeOptions(codec="ffv1")
        )
        found = plain_decode(report.target)
        assert same(found.frames, frames)
        _check_times(plain_decode(source), found, report)
        _check_tags(read_info(source), read_info(report.target), report)
        assert verify_file(source, report.target, report.plan, said=report.warnings).ok


def _check_times(before: Plain, after: Plain, report: Report) -> None:
    """Exact, but for the millisecond of Matroska."""
    rounding = MILLISECOND / 2 if report.target.suffix == ".mkv" else 0
    pairs = zip(before.times, after.times, strict=True)
    assert all(abs(a - b) <= rounding for a, b in pairs)


def _check_tags(before: VideoInfo, after: VideoInfo, report: Report) -> None:
    """The same, unless listed; full range is never lost."""
    a, b = before.color, after.color
    listed = any(line.startswith("colour tags") for line in report.plan.losses)
    is_rgb = before.format.model == "rgb"  # which needs no matrix; some containers name it
    tags = [(is_rgb or c.matrix, c.primaries, c.transfer) for c in (a, b)]
    assert tags[0] == tags[1] or listed, report.plan.losses
    if before.format.model == "yuv":
        assert (a.range == Range.FULL) == (b.range == Range.FULL)


RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


@given(videos())
@settings(max_examples=15, **RELAXED)
def test_any_video_comes_back(video: Video) -> None:
    check(video)


@pytest.mark.slow
@given(videos())
@settings(max_examples=400, **RELAXED)
def test_any_of_many_videos_comes_back(video: Video) -> None:
    check(video)
