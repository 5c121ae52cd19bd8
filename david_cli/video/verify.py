"""Is a result what its source was, only sharper? Two finished files, compared row by row.

Each row is *kept*, *lost* where the result's container or codec cannot hold it (david's own plan
for that container and codec lists it then), or *wrong*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from david_cli.errors import OutputError
from david_cli.video.codecs import CODECS
from david_cli.video.comparison import Comparison, Finding, Verdict
from david_cli.video.contents import read_contents
from david_cli.video.deinterlace import Deinterlace
from david_cli.video.frame import VideoInfo
from david_cli.video.picture_rows import picture_findings
from david_cli.video.reader import VideoReader
from david_cli.video.streams import OutputPlan, plan_output
from david_cli.video.track_rows import track_findings
from david_cli.video.wishes import EncodeOptions

__all__ = ["Finding", "Verdict", "Verification", "verify_file"]

_CODEC_NAMES = {"dnxhd": "dnxhr"}  # FFmpeg's name of a codec -> david's, where they differ


@dataclass(frozen=True)
class Verification:
    """All rows."""

    findings: tuple[Finding, ...]

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        """The rows of a verdict."""
        return tuple(finding for finding in self.findings if finding.verdict == verdict)

    @property
    def ok(self) -> bool:
        return not self.of("wrong")


def verify_file(
    source: Path,
    result: Path,
    plan: OutputPlan | None = None,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    said: Sequence[str] = (),
) -> Verification:
    """Decode both files and compare everything that david promises to keep.

    Args:
        source: what was deblurred.
        result: what came of it.
        plan: what david meant to write; made anew for the result's container and codec where None.
        start: seconds after the source's first frame at which the result starts.
        end: seconds after the source's first frame at which the result ends.
        said: further lines in which a run told what the result lacks.

    Raises:
        InputError: a file is missing or no frame of it decodes.
        UsageError: an empty part.
        OutputError: david could write nothing like the result, so that nothing can be expected.
    """
    with VideoReader(result) as reader:
        after = read_contents(reader)
    mode: Deinterlace = "off" if after.info.fields else "auto"  # as david would have made it
    with VideoReader(source, start=start, end=end, deinterlace=mode) as reader:
        plan = plan or _likely_plan(reader, after.info)
        before = read_contents(reader)
    lines = (*plan.losses, *plan.notes, *said)
    return Verification(tuple(_findings(Comparison(before, after, plan, lines))))


def _likely_plan(source: VideoReader, result: VideoInfo) -> OutputPlan:
    """What david would write in the result's container and codec: what these cannot hold."""
    codec = _CODEC_NAMES.get(result.codec, result.codec)
    target = result.path.with_name(f".{result.path.stem}.verify{result.path.suffix}")
    for pix_fmt in (None, result.source_format) if codec in CODECS else ():
        try:
            return plan_output(source, target, EncodeOptions(codec=codec, pix_fmt=pix_fmt))
        except OutputError:
            continue  # the codec holds no such picture: what became of it is judged by the format
    return plan_output(source, target, EncodeOptions())


def _findings(comparison: Comparison) -> Iterator[Finding]:
    yield from picture_findings(comparison)
    yield from track_findings(comparison)
    for line in comparison.plan.losses:
        if line not in comparison.used:  # what no row above is about
            what, _, why = line.partition(": ")
            yield Finding(what, "lost", why)
