"""`david deblur`: one video in, one sharp video out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, encoding_options, network_options, options
from david_cli.cli.parallel import run_in_parallel
from david_cli.cli.progress import View, open_view
from david_cli.cli.report import RunReports
from david_cli.cli.segments import completed_summary, print_dry_run, run_with_view, work_facts
from david_cli.cli.wording import (
    Summary,
    deblurrer_facts,
    headline,
    listing,
    plan_facts,
    stage_line,
    verdict_line,
)
from david_cli.errors import UsageError
from david_cli.network.shipped import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from david_cli.inference.deblurrer import Deblurrer
    from david_cli.inference.report import Report
    from david_cli.jobs.plan import Job, Plan
    from david_cli.video.deinterlace import Deinterlace
    from david_cli.video.frame import VideoInfo
    from david_cli.video.pipes import Pipe
    from david_cli.video.streams import EncodeOptions, OutputPlan


def deblur(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="The video to sharpen; - is standard input.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The video to write; - is standard output. Default: <name>.sharp.<ext> beside IN.",
        ),
    ] = None,
    yes: options.YesOption = False,
    preset: options.PresetOption = None,
    verify: options.VerifyOption = False,
    start: options.StartOption = None,
    end: options.EndOption = None,
    model: network_options.ModelOption = "auto",
    device: network_options.DeviceOption = "auto",
    devices: network_options.DevicesOption = None,
    precision: network_options.PrecisionOption = "auto",
    engine: network_options.EngineOption = "auto",
    tile: network_options.TileOption = "auto",
    overlap: network_options.OverlapOption = DEFAULT_OVERLAP,
    strength: network_options.StrengthOption = 1.0,
    only_blurry: network_options.OnlyBlurryOption = False,
    sharp_above: network_options.SharpAboveOption = None,
    deinterlace: network_options.DeinterlaceOption = "auto",
    codec: encoding_options.CodecOption = None,
    encoder: encoding_options.EncoderOption = "software",
    lossless: encoding_options.LosslessOption = False,
    match_source: encoding_options.MatchSourceOption = False,
    crf: encoding_options.CrfOption = None,
    encoder_preset: encoding_options.EncoderPresetOption = None,
    pix_fmt: encoding_options.PixFmtOption = None,
    encoder_option: encoding_options.EncoderOptionsOption = None,
    format: encoding_options.FormatOption = None,
    raw_input: encoding_options.RawInputOption = None,
    segment: options.SegmentOption = None,
    fresh: options.FreshOption = False,
    dry_run: options.DryRunOption = False,
    with_report: options.ReportOption = False,
    report_file: options.ReportFileOption = None,
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Sharpen a video and keep everything else in the file.

    Each frame is rebuilt from itself and its three neighbours on either side. Frames keep
    their times; sound, subtitles, chapters, metadata and rotation are copied. The output
    appears under its name only when it is complete. A long run that was interrupted goes on
    where it stopped when the same command is given again.

    [bold]Examples[/bold]
      david deblur holiday.mp4
      david deblur holiday.mp4 -o sharp.mp4 --device cuda
      david deblur film.mkv --start 1:20 --end 1:45 --crf 14 --report
      ffmpeg -i a.mov -f yuv4mpegpipe - | david deblur - -o - | ffmpeg -i - b.webm
    """
    checks.check_output_stream(output, format, progress)
    if dry_run:
        checks.refuse_dry_pipe(source, output)
    span = checks.parse_span(start, end)
    tile_size = checks.parse_tile(tile)
    checks.parse_strength(strength)
    sharp_limit = checks.parse_sharp_above(only_blurry, sharp_above)
    encode = checks.read_encoding(context)

    from david_cli.video.deinterlace import deinterlace_mode

    given = _source(source, output, raw_input)
    fields = deinterlace_mode(deinterlace, strength)
    seen, plan = _plan(given, output, encode, span, fields)
    reports = RunReports.of(context, plan.target, span)

    def job() -> Job:
        from david_cli.jobs.plan import Job

        return Job(
            source=source,
            target=output,
            model=model,
            tile=tile_size,
            strength=strength,
            deinterlace=fields,
            encode=encode,
            start=span[0],
            end=span[1],
        )

    if not (dry_run or fresh) and (frames := _completed(plan, job)) is not None:
        with open_view(progress, source.name, quiet=quiet, verbose=verbose) as view:
            reports.write(None, view)
            view.done(completed_summary(source, plan, frames))
        return
    overwrite = dry_run or checks.may_overwrite(plan.target, yes=yes, ask=progress != "json")

    with open_view(progress, source.name, quiet=quiet, verbose=verbose) as view:
        from david_cli.inference.loading import load_deblurrer
        from david_cli.inference.pipeline import deblur_video

        shared = _shared(devices, device)
        deblurrer = load_deblurrer(
            model,
            device=shared[0] if shared else device,
            precision=precision,
            tile=tile_size,
            overlap=overlap,
            sharp_above=sharp_limit,
            engine=engine,
        )
        wanted = job()
        if dry_run:
            print_dry_run(wanted, plan, deblurrer, segment)
            return
        with _planned(wanted, plan, deblurrer, segment, fresh=fresh, view=view) as work:
            total = _total(seen, wanted, work)
            facts = {"source": str(source), **plan_facts(plan), **deblurrer_facts(deblurrer)}
            view.start(
                headline(deblurrer), total, {"command": "deblur", **facts, **work_facts(work)}
            )
            if work is not None and len(shared) > 1:
                report = run_in_parallel(work, deblurrer, shared, view, verify=verify)
            elif work is not None:
                report = run_with_view(work, deblurrer, view, verify=verify)
            else:
                if len(shared) > 1:
                    _use_all_cores(deblurrer)
                report = deblur_video(
                    given,
                    plan,
                    deblurrer,
                    strength=strength,
                    deinterlace=fields,
                    start=span[0],
                    end=span[1],
                    overwrite=overwrite,
                    verify=verify,
                    on_progress=view.update,
                    on_message=view.warn,
                )
        reports.write(report, view)
        view.done(_summary(report))


@contextmanager
def _planned(
    job: Job,
    output: OutputPlan,
    deblurrer: Deblurrer,
    segment: int | None,
    *,
    fresh: bool,
    view: View,
) -> Iterator[Plan | None]:
    """The plan of a long job in files; None for short ones and for pipes."""
    if checks.STANDARD in (job.source, output.target):
        if segment or fresh:
            raise UsageError("--segment and --fresh are for files: a pipe is done in one piece")
        yield None
        return
    from david_cli.jobs.resume import planned

    with planned(
        job, output, deblurrer, segment=segment, fresh=fresh, on_detail=view.detail
    ) as work:
        yield work


def _shared(devices: str | None, device: str) -> tuple[str, ...]:
    """Devices that share the work; empty where that was not asked for."""
    if devices is None:
        return ()
    if device != "auto":
        raise UsageError("--device and --devices both say where to compute; leave one out")
    import torch

    from david_cli.jobs.devices import parse_devices, present, threads_each

    shared = present(parse_devices(devices))
    torch.set_num_threads(threads_each(len(shared)))  # the plan takes that over
    return shared


def _use_all_cores(deblurrer: Deblurrer) -> None:
    """What is done in one piece is done by this process alone."""
    import torch

    from david_cli.inference.workers import crew_size
    from david_cli.jobs.devices import threads_each

    torch.set_num_threads(threads_each(1))
    deblurrer.crew = crew_size(deblurrer.device)


def _completed(plan: OutputPlan, job: Callable[[], Job]) -> int | None:
    """Frames of an output that is complete but for what an earlier run left beside it."""
    from david_cli.jobs.folder import state_folder

    if not state_folder(plan.target).exists():
        return None
    from david_cli.jobs.resume import completed

    return completed(plan.target, job())


def _total(seen: VideoInfo, job: Job, work: Plan | None) -> int | None:
    from david_cli.inference.report import expected_frames

    return len(work.times) if work else expected_frames(seen, job.start or Fraction(0), job.end)


def _source(source: Path, output: Path | None, raw_input: str | None) -> Path | Pipe:
    """The file, or standard input; and nothing that cannot carry a video."""
    from david_cli.video.pipes import RawFormat, check_standard_output, standard_input

    if output == checks.STANDARD:
        check_standard_output()
    if source == checks.STANDARD:
        return standard_input(None if raw_input is None else RawFormat.parse(raw_input))
    if raw_input is not None:
        raise UsageError(f"--raw-input is for standard input: david deblur - < {source}")
    return source


def _plan(
    source: Path | Pipe,
    output: Path | None,
    encode: EncodeOptions,
    span: tuple[Fraction | None, Fraction | None],
    fields: Deinterlace,
) -> tuple[VideoInfo, OutputPlan]:
    """Look at the source and plan the output, so that what cannot work fails before torch loads."""
    from david_cli.video.reader import VideoReader
    from david_cli.video.streams import plan_output

    with VideoReader(source, start=span[0], end=span[1], deinterlace=fields) as reader:
        return reader.info, plan_output(reader, output, encode)


def _summary(report: Report) -> Summary:
    details = (
        f"{report.plan.codec} by {report.plan.encoder}, {report.plan.pix_fmt}",
        f"kept: {listing(report.plan.kept, 20)}" if report.plan.kept else "",
        stage_line(report.stage_seconds),
    )
    verified = report.verification
    return Summary(
        target=str(report.target) if report.target != checks.STANDARD else "standard output",
        frames=report.frames,
        seconds=report.seconds,
        fps=report.fps,
        bottleneck=report.bottleneck,
        stage_seconds=report.stage_seconds,
        warnings=report.warnings,
        notes=(*((verdict_line(verified),) if verified else ()), *report.events.spared()),
        details=tuple(line for line in details if line),
        facts={"source": str(report.source), **plan_facts(report.plan)},
    )
