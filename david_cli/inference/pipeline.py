"""A video file in, a sharp one out: checked before the work, told about after it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from david_cli.errors import OutputError, UsageError
from david_cli.files import is_there
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.passage import Passage
from david_cli.inference.report import Progress, Report, RunReport
from david_cli.video.deinterlace import Deinterlace, deinterlace_mode
from david_cli.video.pipes import STANDARD, Pipe, check_standard_output, standard_input
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, OutputPlan, plan_output
from david_cli.video.writer import VideoWriter


def deblur_video(
    source: str | Path | Pipe,
    target: str | Path | OutputPlan | None = None,
    deblurrer: Deblurrer | None = None,
    *,
    strength: float = 1.0,
    deinterlace: Deinterlace = "auto",
    encode: EncodeOptions | None = None,
    start: Fraction | float | None = None,
    end: Fraction | float | None = None,
    overwrite: bool = False,
    verify: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Report:
    """Deblur one video file; everything else in it is carried over.

    Args:
        source: the video; ``-`` is standard input.
        target: the result; ``<name>.sharp.<ext>`` beside the source where None. It appears under
            this name only when complete. ``-`` is standard output. A plan of this source's output
            is followed as it is, without another look at ``encode``.
        deblurrer: network, device and tiling; ``load_deblurrer()`` where None.
        strength: 0 keeps the picture as it is, 1 applies the network's whole change.
        deinterlace: ``auto`` makes interlaced frames progressive first (not at strength 0, which
            leaves the picture alone), ``bwdif`` every frame, ``off`` none.
        encode: codec and its options; near-transparent defaults where None.
        start: seconds after the first frame at which to start.
        end: seconds after the first frame at which to end.
        overwrite: whether an existing target may be replaced.
        verify: decode the finished file and compare it with the source before it gets its name;
            OutputError where anything is wrong. Not through a pipe.
        on_progress: called after every frame, in this thread.
        on_message: called with each note or warning as soon as it is known.

    Returns:
        What was done, with all warnings.

    Raises:
        UsageError, InputError, OutputError, DeviceError, PipeClosed: see ``david_cli.errors``. No
        file is left under the target's name unless the run succeeded.
    """
    if not 0 <= strength <= 1:
        raise UsageError(f"strength {strength:g} is not between 0 and 1")
    span = (_seconds(start), _seconds(end))
    fields = deinterlace_mode(deinterlace, strength)
    opened = source if isinstance(source, Pipe) else Path(source)
    if opened == STANDARD:
        opened = standard_input()
    with VideoReader(opened, start=span[0], end=span[1], deinterlace=fields) as reader:
        if isinstance(target, OutputPlan):
            plan = target
        else:
            wanted = None if target is None else Path(target)
            plan = plan_output(reader, wanted, encode or EncodeOptions())
        check_target(plan.target, overwrite)
        if verify and (reader.pipe or plan.target == STANDARD):
            raise UsageError("verification reads both files again: not through a pipe")
        deblurrer = deblurrer or load_deblurrer()
        report = RunReport(plan, deblurrer, on_message)
        passage = Passage(reader, VideoWriter(plan, reader), deblurrer, strength, on_progress)
        passage.run(
            before=lambda: report.say(*plan.notes, *plan.losses),
            verify=report.verifier(reader, passage.writer) if verify else None,
        )
        report.say(*passage.warnings())
        return report.finished(reader.path, passage.frames_out, passage.clock)


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse to write over anything without being told to.

    Raises:
        OutputError: the target exists, or is a folder.
        UsageError: it is standard output, and that a terminal.
    """
    if target == STANDARD:
        check_standard_output()
        return
    exists = is_there(target, OutputError)
    if exists and target.is_dir():
        raise OutputError(f"{target} is a folder: name a file with -o")
    if exists and not overwrite:
        raise OutputError(f"{target} exists already: add --yes to overwrite it")


def _seconds(value: Fraction | float | None) -> Fraction | None:
    return None if value is None else Fraction(value).limit_denominator(10**9)
