"""How near to transparent each codec's defaults are, on the example's clip: one row each.

    python -m tests.transparency [FILE] [--seconds S]

The beginning of a video is decoded and encoded again, with nothing done to it (strength 0), by the
defaults of each codec and by `--lossless`. PSNR is that of the codes of luma and of chroma, over
all frames and of the worst one, against what was sent to the encoder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from david_cli.errors import UsageError
from david_cli.video.codecs import CODECS
from david_cli.video.frame import Frame
from david_cli.video.match import read_traits
from david_cli.video.reader import VideoReader
from david_cli.video.repack import embed
from david_cli.video.wishes import EncodeOptions
from tests.video.clips import pass_through

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "phone_building.mp4"
HEAD = "| codec | encoder and options | luma, dB | worst frame | chroma, dB | Mbit/s |"


@dataclass(frozen=True)
class Row:
    """What became of a clip by one codec."""

    codec: str
    encoder: str
    luma: float
    """PSNR in dB; infinite where every code came back."""
    worst: float
    """The same of the worst frame."""
    chroma: float
    rate: float
    """Mbit/s of the picture."""

    def __str__(self) -> str:
        marks = (f"{value:.1f}" for value in (self.luma, self.worst, self.chroma))
        exact = [mark.replace("inf", "exact") for mark in marks]
        return f"| {self.codec} | {self.encoder} | {' | '.join(exact)} | {self.rate:.1f} |"


def rows(source: Path, seconds: Fraction, codecs: Sequence[str]) -> Iterator[Row]:
    """Each codec by its defaults, then without loss where it can."""
    for lossless in (False, True):
        for codec in codecs:
            try:
                options = EncodeOptions(codec=codec, lossless=lossless)
            except UsageError:
                continue
            with tempfile.TemporaryDirectory() as folder:
                suffix = ".mov" if CODECS[codec].intermediate else ".mkv"
                yield _row(source, Path(folder) / f"out{suffix}", options, seconds)


def _row(source: Path, target: Path, options: EncodeOptions, seconds: Fraction) -> Row:
    plan, _ = pass_through(source, target, options, end=seconds)
    before, _ = _read(source, seconds)
    after, rate = _read(plan.target)
    sent = [embed(frame, after[0].format) for frame in before]
    pairs = list(zip(sent, after, strict=True))
    luma = [_error(a, b, slice(0, 1)) for a, b in pairs]
    chroma = [_error(a, b, slice(1, 3)) for a, b in pairs]
    given = " ".join(f"{k}={v}" for k, v in plan.options.items() if v != "log-level=none")
    return Row(
        codec=plan.codec + (", lossless" if options.lossless else ""),
        encoder=f"{plan.encoder} {given}".strip(),
        luma=_psnr(float(np.mean(luma))),
        worst=_psnr(max(luma)),
        chroma=_psnr(float(np.mean(chroma))),
        rate=rate / 1e6,
    )


def _read(path: Path, end: Fraction | None = None) -> tuple[list[Frame], int]:
    with VideoReader(path, end=end) as reader:
        rate = read_traits(reader).bit_rate or 0
        return [item for item in reader.items() if isinstance(item, Frame)], rate


def _error(a: Frame, b: Frame, planes: slice) -> float:
    """Mean squared difference of codes, 1 being the whole scale."""
    highest = (1 << a.format.bits) - 1
    found = [
        float(np.mean(((one.astype(np.float64) - other) / highest) ** 2))
        for one, other in zip(a.planes[planes], b.planes[planes], strict=True)
    ]
    return float(np.mean(found))


def _psnr(error: float) -> float:
    return -10 * float(np.log10(error)) if error else float("inf")


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("source", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--seconds", type=Fraction, default=Fraction(1))
    given = parser.parse_args()
    sys.stdout.write(f"{HEAD}\n{'|---' * (HEAD.count('|') - 1)}|\n")
    for row in rows(given.source, given.seconds, tuple(CODECS)):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
