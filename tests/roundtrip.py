"""What comes back of tiny clips, codec by codec, container by container: one row each.

    python -m tests.roundtrip [--quick] [--markdown] [--codec NAME ...]

A source of random luma, flat chroma and some sound goes through `deblur_video`, at strength 0 and
with a network of known effect (rgb -> 0.5 rgb + 0.25), in constant and in variable rate, with the
codecs set to be lossless where they can. The result is judged twice: by a plain PyAV decode
against what float64 says it must be, and by david's own verification. Every row is exact, or names
the limit of its codec or container; anything else is WRONG and makes the exit code 1. A summary
by codec stands at the end (and in docs/fidelity.md).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from david_cli import deblur_video
from david_cli.errors import DavidError
from david_cli.inference.report import Report
from david_cli.video.streams import EncodeOptions
from david_cli.video.verify import verify_file
from tests.footage import (
    Look,
    Plain,
    Planes,
    known_deblurrer,
    noise,
    packets,
    plain_decode,
    write_video,
)
from tests.video.clips import Clip, make_clip

CLOCK = Fraction(1, 24000)
FRAME = 1001  # ticks: 23.976 frames a second
EVEN = tuple(FRAME * i for i in range(8))
UNEVEN = tuple(FRAME * i for i in (0, 3, 4, 9, 11, 12, 20, 21))
RATES = {"CFR": EVEN, "VFR": UNEVEN}
SOUND_START = 4800  # samples: 0.1 s after the picture
GAIN, OFFSET = 0.5, 0.25
SIZE, LARGE = (48, 32), (256, 128)
LARGE_CODECS = ("dnxhr",)
LOSSLESS_RGB = {"x265-params": "lossless=1:bframes=0:cutree=0:log-level=none"}
LOSSY_SHARE = 0.02  # of full scale: what ProRes and DNxHR may err by on smooth pictures


@dataclass(frozen=True)
class Kind:
    """A codec, what it is tried in, and how it is told to lose nothing."""

    formats: tuple[str, ...]
    containers: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    lossy: bool = False
    """There is no such setting: the picture is smooth then, and may be off by a little."""


KINDS = {
    "h264": Kind(
        (
            *("yuv420p", "yuv422p", "yuv444p", "gray", "gbrp"),
            *("yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le"),
        ),
        ("mp4", "mov", "mkv", "nut", "ts"),
        {"qp": "0", "preset": "ultrafast"},
    ),
    "hevc": Kind(
        (
            *("yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le", "gbrp10le"),
            *("yuv420p", "yuv422p", "yuv444p", "gray", "gbrp"),
            *("yuv420p12le", "yuv422p12le", "yuv444p12le", "gray12le", "gbrp12le"),
        ),
        ("mp4", "mov", "mkv"),
        {"x265-params": "lossless=1", "preset": "ultrafast"},
    ),
    "av1": Kind(
        ("yuv420p", "yuv420p10le"),
        ("mp4", "mkv", "webm"),
        {"svtav1-params": "lossless=1", "preset": "10"},
    ),
    "vp9": Kind(
        ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "gbrp"),
        ("webm", "mkv", "mp4"),
        {"lossless": "1"},
    ),
    "prores": Kind(("yuv422p10le", "yuv444p10le", "yuva444p10le"), ("mov", "mkv"), lossy=True),
    "dnxhr": Kind(
        ("yuv422p", "yuv422p10le", "yuv444p10le", "gbrp10le"), ("mov", "mkv"), lossy=True
    ),
    "ffv1": Kind(
        (
            *("yuv420p", "yuv422p", "yuv444p", "gray", "gbrp", "yuva420p"),
            *("yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le", "gbrp10le", "yuva444p10le"),
            *("yuv420p12le", "yuv422p12le", "yuv444p12le", "gray12le", "gbrp12le"),
            *("yuv420p16le", "yuv422p16le", "yuv444p16le", "gray16le", "gbrp16le"),
        ),
        ("mkv", "nut", "mp4"),
    ),
}


MOVED = {("dnxhr", "mkv"): ".mov", ("vp9", "mp4"): ".mkv"}
"""Codecs and containers that do not go together, and where the result goes. (VP9 only where times
are uneven: FFmpeg reads its lengths in MP4 wrong.)"""


@dataclass(frozen=True)
class Case:
    """One row to be."""

    codec: str
    container: str
    pix_fmt: str
    rate: str
    strength: int

    def __str__(self) -> str:
        return f"{self.codec}-{self.container}-{self.pix_fmt}-{self.rate}-{self.strength}"

    @property
    def look(self) -> Look:
        """BT.709 in limited range; grey and RGB in full range."""
        if self.pix_fmt == "gbrp":
            return Look(self.pix_fmt, range=2, codec="libx265")  # FFV1 has it packed alone
        if Look(self.pix_fmt).format.model == "yuv":
            return Look(self.pix_fmt, 1, 1, primaries=1, transfer=1)  # MP4 keeps all or none
        return Look(self.pix_fmt, range=2)


@dataclass
class Row:
    """What became of a case."""

    case: Case
    container: str
    """What the result is in."""
    frames: str = ""
    times: str = ""
    tags: str = ""
    audio: str = ""
    worst: str = ""
    """Largest difference of a code from what it must be."""
    limits: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.wrong:
            return "WRONG: " + "; ".join(self.wrong)
        return "limit: " + "; ".join(self.limits) if self.limits else "exact"


def cases(*, quick: bool = False, codecs: Sequence[str] = ()) -> Iterator[Case]:
    """All rows; quick: the first pixel format of each codec, in variable rate."""
    for codec, kind in KINDS.items():
        if codecs and codec not in codecs:
            continue
        formats = kind.formats[:1] if quick else kind.formats
        rates = ("VFR",) if quick else tuple(RATES)
        for values in product(kind.containers, formats, rates, (0, 1)):
            yield Case(codec, *values)


def examine(case: Case, folder: Path) -> Row:
    """Make the source, run david, judge the result."""
    row, kind = Row(case, case.container), KINDS[case.codec]
    frames = _frames(case)
    source = _with_sound(case, frames, folder)
    target = folder / f"out.{case.container}"
    encode = EncodeOptions(codec=case.codec, options=kind.options)
    try:
        report = deblur_video(
            source,
            target,
            known_deblurrer(),
            strength=case.strength,
            deinterlace="off",
            encode=encode,
            overwrite=True,
        )
    except DavidError as err:
        row.wrong.append(str(err))
        return row
    if report.target != target:
        words = f"{case.container} cannot hold {case.codec}: {report.target.suffix} instead"
        expected = MOVED.get((case.codec, case.container)) == report.target.suffix
        (row.limits if expected else row.wrong).append(words)
        target, row.container = report.target, report.target.suffix[1:]
    before, after = plain_decode(source), plain_decode(target)
    _judge_times(row, before, after)
    _judge_tags(row, before, after, report)
    _judge_audio(row, source, target)
    _judge_planes(row, frames, after)
    verification = verify_file(source, target, report.plan, said=report.warnings)
    row.wrong += [f"verify: {f.what}: {f.detail}" for f in verification.of("wrong")]
    row.limits += [f"{f.what}: {f.detail}" for f in verification.of("lost")]
    return row


def _frames(case: Case) -> list[Planes]:
    """Flat chroma, another one in each frame; luma is noise, or a slope where codecs are lossy."""
    look, count = case.look, len(EVEN)
    width, height = LARGE if case.codec in LARGE_CODECS else SIZE
    lossy = KINDS[case.codec].lossy
    frames = []
    for number, planes in enumerate(noise(look, count, width, height)):
        made = [_slope(p, number, look) if lossy else p for p in planes]
        if look.format.model == "yuv":
            made[1:3] = [np.full_like(p, p.flat[number] // 2 + 64) for p in planes[1:3]]
        frames.append(tuple(made))
    return frames


def _slope(plane: NDArray[np.integer], number: int, look: Look) -> NDArray[np.integer]:
    """From dark to light, further in each frame."""
    H, W = plane.shape
    top = (1 << look.format.bits) - 1
    across = np.linspace(0.2, 0.6, W)[None, :] + np.linspace(0, 0.1, H)[:, None] + 0.02 * number
    return (across * top).round().astype(plane.dtype)


def _with_sound(case: Case, frames: list[Planes], folder: Path) -> Path:
    """The frames without loss, and sound, in one MP4."""
    times, look = RATES[case.rate], case.look
    timing = {"times": times, "time_base": CLOCK, "end": times[-1] + FRAME}
    options = LOSSLESS_RGB if look.codec == "libx265" else {}
    picture = write_video(folder / "v.mp4", frames, look, **timing, options=options)
    codec = "libopus" if case.container == "webm" else "aac"
    sound = make_clip(folder / "a.mp4", Clip(audio=codec, audio_start=SOUND_START))
    source = folder / "in.mp4"
    with av.open(str(source), "w") as output, av.open(str(picture)) as v, av.open(str(sound)) as a:
        pairs = [(v, v.streams.video[0]), (a, a.streams.audio[0])]
        targets = [output.add_stream_from_template(s, opaque=True) for _, s in pairs]
        for (container, stream), target in zip(pairs, targets, strict=True):
            for packet in container.demux(stream):
                if packet.size:
                    packet.stream = target
                    output.mux(packet)
    return source


def expected(planes: Planes, look: Look) -> list[NDArray[np.float64]]:
    """rgb -> GAIN rgb + OFFSET in float64, for flat chroma: every matrix gives the same."""
    format = look.format
    top, unit, middle = 2**format.bits - 1, 2 ** (format.bits - 8), 2 ** (format.bits - 1)
    black, span = (0, top) if look.range == 2 else (16 * unit, 219 * unit)
    out = []
    for index, plane in enumerate(planes):
        codes = plane.astype(np.float64)
        if format.alpha and index == format.planes - 1:
            out.append(codes)
        elif format.model == "yuv" and index:
            out.append(middle + GAIN * (codes - middle))
        else:
            out.append(black + GAIN * (codes - black) + OFFSET * span)
    return [np.clip(np.round(codes), 0, top) for codes in out]


def _judge_times(row: Row, before: Plain, after: Plain) -> None:
    row.frames = f"{len(before.frames)} -> {len(after.frames)}"
    if len(before.frames) != len(after.frames):
        row.wrong.append("another number of frames")
        return
    error = max(abs(a - b) for a, b in zip(before.times, after.times, strict=True))
    row.times = "exact" if not error else f"{float(error) * 1000:.3f} ms"
    _allow(row, "times", error)


def _allow(row: Row, what: str, error: Fraction) -> None:
    """An error of time, against the clock of the container."""
    limits = {"mkv": Fraction(1, 1000), "webm": Fraction(1, 1000), "ts": Fraction(1, 90000)}
    clock = limits.get(row.container, Fraction(0))
    if error > clock / 2:
        row.wrong.append(f"{what} off by {float(error) * 1000:.3f} ms")
    elif error:
        row.limits.append(f"{what}: {row.container} counts {float(clock) * 1000:.3g} ms")


def _judge_tags(row: Row, before: Plain, after: Plain, report: Report) -> None:
    told = [
        (a, b)
        for a, b, unknown in zip(before.tags, after.tags, (2, 0), strict=True)
        if a != unknown and row.case.look.format.model == "yuv"
    ]
    same = all(a == b for a, b in told)
    row.tags = "same" if same else f"{before.tags} -> {after.tags}"
    listed = [line for line in report.plan.losses if "colour tags" in line or "range" in line]
    if not same:
        (row.limits if listed else row.wrong).append("; ".join(listed) or "other colour tags")


def _judge_audio(row: Row, source: Path, target: Path) -> None:
    (before, started), (after, begun) = packets(source, "audio"), packets(target, "audio")
    if before == after:
        row.audio = "same packets"
    elif _samples(source) == _samples(target):
        row.audio = "same samples"
        row.limits.append(f"audio: {row.case.container} wants packets with headers")
    else:
        row.audio = "OTHER"
        row.wrong.append("other sound")
    if len(started) == len(begun):
        _allow(row, "audio", max(abs(a - b) for a, b in zip(started, begun, strict=True)))


def _samples(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [f.to_ndarray().tobytes() for f in container.decode(audio=0)]


def _judge_planes(row: Row, frames: list[Planes], after: Plain) -> None:
    case, look = row.case, row.case.look
    held = Look(after.pix_fmt).format
    unit = 1 << (held.bits - look.format.bits)  # where more bits hold the same codes
    worst = 0.0
    for planes, found in zip(frames, after.frames, strict=False):
        wanted = [*(expected(planes, look) if case.strength else planes)]
        if look.format.model == "gray" and len(found) == 3:  # grey as colour without any
            wanted += [np.full(f.shape, 1 << (look.format.bits - 1)) for f in found[1:]]
        if [w.shape for w in wanted] != [f.shape for f in found]:
            row.wrong.append(f"{look.pix_fmt} became {after.pix_fmt}")
            return
        pairs = zip(wanted, found, strict=True)
        worst = max(worst, *(np.abs(w.astype(np.float64) - f / unit).max() for w, f in pairs))
    row.worst = f"{worst:g}"
    if (held.model, held.bits) != (look.format.model, look.format.bits):
        row.limits.append(f"picture: {case.codec} holds it in {held.name}")
    allowed = 1 if case.strength else 0  # one code: float32 rounds a half otherwise than float64
    if KINDS[case.codec].lossy:
        allowed += LOSSY_SHARE * (1 << look.format.bits)
        row.limits += [f"picture: {case.codec} is lossy"] * bool(worst > 0)
    if worst > allowed:
        row.wrong.append(f"a plane is off by {worst:g}")


HEADINGS = ("codec", "in", "format", "rate", "strength", "frames", "times", "tags", "audio")
HEADINGS += ("worst", "verdict")


def cells(row: Row) -> tuple[str, ...]:
    c = row.case
    known = "1, known" if c.strength else "0"
    facts = (row.frames, row.times, row.tags, row.audio, row.worst, row.verdict)
    return (c.codec, c.container, c.pix_fmt, c.rate, known, *facts)


def line(texts: Sequence[str], *, markdown: bool) -> str:
    if markdown:
        return "| " + " | ".join(texts) + " |\n"
    widths = (6, 4, 11, 4, 8, 6, 8, 4, 12, 5, 0)
    return "  ".join(f"{t:<{w}}" for t, w in zip(texts, widths, strict=True)).rstrip() + "\n"


SUMMARY = ("codec", "rows", "exact", "limit named", "wrong", "worst at strength 0", "worst, known")


def summary(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """Counts by codec, and the largest difference of a code at strength 0 and with the network."""
    for codec in dict.fromkeys(row.case.codec for row in rows):
        of = [row for row in rows if row.case.codec == codec]
        verdicts = Counter(row.verdict.split(":")[0] for row in of)
        counts = (len(of), verdicts["exact"], verdicts["limit"], verdicts["WRONG"])
        worst = (_worst([row for row in of if row.case.strength == s]) for s in (0, 1))
        yield (codec, *map(str, counts), *worst)


def _worst(rows: Sequence[Row]) -> str:
    """E.g. ``1 of 1023``, the largest by its share of the format's highest code."""
    pairs = [(float(row.worst or "inf"), 2**row.case.look.format.bits - 1) for row in rows]
    worst, top = max(pairs, key=lambda pair: pair[0] / pair[1])
    return f"{worst:g} of {top}" if worst else "0"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one pixel format, variable rate")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--codec", action="append", default=[], choices=list(KINDS))
    asked = parser.parse_args(arguments)
    sys.stdout.write(line(HEADINGS, markdown=asked.markdown))
    if asked.markdown:
        sys.stdout.write(line(["---"] * len(HEADINGS), markdown=True))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(quick=asked.quick, codecs=asked.codec):
            rows.append(examine(case, Path(folder)))
            sys.stdout.write(line(cells(rows[-1]), markdown=asked.markdown))
            sys.stdout.flush()
    sys.stdout.write("\n")
    for texts in (SUMMARY, ["---"] * len(SUMMARY), *summary(rows)):
        sys.stdout.write(line(texts, markdown=True))
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
