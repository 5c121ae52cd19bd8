"""What became of a video, on one page: made at the end of a run, or afterwards from the files.

source, result, what the run recorded -> measured, compared, pictured -> .html or .json
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from david_cli.files import replace_file
from david_cli.inference.report import Report as RunReport
from david_cli.network.weights import checksum, resolve_weights
from david_cli.review.page import page
from david_cli.review.report_data import Moment, Point, Report, Run
from david_cli.review.report_files import compare_contents, file_facts, versions
from david_cli.review.report_frames import choose, frame_at, measure, show
from david_cli.review.report_record import to_json
from david_cli.video.comparison import Finding
from david_cli.video.deinterlace import Deinterlace
from david_cli.video.frame import VideoInfo
from david_cli.video.reader import VideoReader, read_info
from david_cli.video.verify import verify_file


@dataclass(frozen=True)
class Pair:
    """A result and the part of a video that it was made of."""

    source: Path
    result: Path
    start: Fraction | None = None
    """Seconds after the source's first frame; None for its beginning."""
    end: Fraction | None = None
    """Seconds after the source's first frame; None for its end."""


def run_of(report: RunReport, pair: Pair, model: str | Path, settings: Mapping[str, str]) -> Run:
    """What a run that has just ended knows of itself.

    Args:
        report: as the pipeline gives it.
        pair: what it made of what.
        model: the network's name or file.
        settings: what was asked for beside model and device, for a person.
    """
    plan = report.plan
    weights = {"model": report.model, "weights, sha256": checksum(resolve_weights(model))}
    device = {
        "device": report.device,
        "precision": report.precision,
        "tile": f"{report.tile} pixels" if report.tile else "whole frames",
    }
    encoding = {
        "codec": plan.codec,
        "encoder": plan.encoder,
        "pixel format": plan.pix_fmt,
        "encoder options": ", ".join(f"{key}={value}" for key, value in plan.options.items()),
        "container": plan.container,
    }
    said = {*plan.losses, *plan.notes, *report.events.lines()}
    return Run(
        source=pair.source.name,
        start=pair.start,
        end=pair.end,
        settings={**weights, **device, **settings, **encoding},
        versions=versions(),
        frames=report.frames,
        done=round(report.fps * report.seconds),
        seconds=report.seconds,
        fps=report.fps,
        bottleneck=report.bottleneck,
        stage_seconds=dict(report.stage_seconds),
        guard=report.events,
        kept=plan.kept,
        losses=plan.losses,
        notes=plan.notes,
        warnings=tuple(line for line in report.warnings if line not in said),
    )


def make_report(
    pair: Pair,
    run: Run | None = None,
    *,
    findings: tuple[Finding, ...] | None = None,
    remarks: tuple[str, ...] = (),
    on_frame: Callable[[int], None] = lambda _: None,
) -> Report:
    """Compare a result with its source, and put together what there is to tell.

    Args:
        pair: the two files.
        run: what was recorded of the run; None where nothing was.
        findings: of the verification, where there was one.
        remarks: lines for a person about the report itself.
        on_frame: told the number of frames looked at, after each.

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together.
        UsageError: an empty part.
    """
    after = read_info(pair.result)
    fields: Deinterlace = "off" if after.fields else "auto"  # as david would have made it
    with (
        VideoReader(pair.source, start=pair.start, end=pair.end, deinterlace=fields) as source,
        VideoReader(pair.result) as result,
    ):
        before = source.info
        points = measure(source, result, on_frame)
        has_clean_times = source.has_clean_times and result.has_clean_times
    kept, losses = (run.kept, run.losses) if run else map(tuple, compare_contents(before, after))
    return Report(
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
        maker=versions(),
        source=file_facts(before),
        result=file_facts(after),
        run=run,
        kept=kept,
        losses=losses,
        points=tuple(points),
        moments=tuple(
            _moment(pair, point, reasons, before, fields, seek=has_clean_times)
            for point, reasons in choose(points)
        ),
        findings=findings,
        remarks=remarks,
    )


def verification(pair: Pair) -> tuple[Finding, ...]:
    """The rows of `david verify`, for a report.

    Raises:
        InputError, UsageError, OutputError: as `verify_file`.
    """
    return verify_file(pair.source, pair.result, start=pair.start, end=pair.end).findings


def write_report(target: Path, report: Report) -> None:
    """Write a page, or JSON where the name ends so; complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    is_json = target.suffix.lower() == ".json"
    text = to_json(report) + "\n" if is_json else page(report)
    replace_file(target, text.encode())


def _moment(
    pair: Pair,
    point: Point,
    reasons: tuple[str, ...],
    info: VideoInfo,
    fields: Deinterlace,
    *,
    seek: bool,
) -> Moment:
    before = frame_at(pair.source, point.source_time, deinterlace=fields, seek=seek)
    after = frame_at(pair.result, point.time, deinterlace="off", seek=seek)
    return show(point, reasons, (before, after), info)
