"""`david plan`, `david segment`, `david join`: a long job dealt out by hand or by a scheduler."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, encoding_options, network_options, options
from david_cli.cli.info import KEY, plan_lines, print_rows
from david_cli.cli.progress import View, open_view
from david_cli.cli.stopping import first_ctrl_c_asks
from david_cli.cli.wording import Summary, duration, headline, plan_facts
from david_cli.jobs.folder import PLAN
from david_cli.network.shipped import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from david_cli.inference.deblurrer import Deblurrer
    from david_cli.inference.report import Progress, Report
    from david_cli.jobs.plan import Job, Plan
    from david_cli.video.streams import OutputPlan

SCHEMA = 1
"""Version of the JSON that ``david plan --json`` prints."""


def plan(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="The video to sharpen.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The video to write. Default: <name>.sharp.<ext> beside IN.",
        ),
    ] = None,
    yes: options.YesOption = False,
    preset: options.PresetOption = None,
    start: options.StartOption = None,
    end: options.EndOption = None,
    model: network_options.ModelOption = "auto",
    device: network_options.DeviceOption = "auto",
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
    segment: options.SegmentOption = None,
    fresh: options.FreshOption = False,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Plan a video's segments without deblurring anything, and print the plan's path.

    The plan fixes all that decides the result. Any number of processes or machines that see the
    plan's folder and IN can then run its segments, in any order, again if need be. The plan is
    that of [bold]david deblur[/bold] with the same options, which goes on with it too.

    [bold]Examples[/bold]
      PLAN=$(david plan film.mkv -o sharp.mkv)
      for k in 0 1 2; do david segment $PLAN --index $k; done
      david join $PLAN
    """
    checks.check_output_file(output)
    span = checks.parse_span(start, end)
    tile_size = checks.parse_tile(tile)
    checks.parse_strength(strength)
    sharp_limit = checks.parse_sharp_above(only_blurry, sharp_above)

    from david_cli.jobs.plan import Job

    encode = checks.read_encoding(context)
    job = Job(
        source=source,
        target=output,
        model=model,
        tile=tile_size,
        strength=strength,
        deinterlace=deinterlace,
        encode=encode,
        start=span[0],
        end=span[1],
    )
    from david_cli.inference.loading import load_deblurrer
    from david_cli.jobs.resume import plan_apart, planned_output

    written = planned_output(job)
    checks.may_overwrite(written.target, yes=yes, ask=not as_json)
    deblurrer = load_deblurrer(
        model,
        device=device,
        precision=precision,
        tile=tile_size,
        overlap=overlap,
        sharp_above=sharp_limit,
        engine=engine,
    )
    work = plan_apart(job, written, deblurrer, segment=segment, fresh=fresh)
    typer.echo(json.dumps(_facts(work), indent=2) if as_json else str(work.folder / PLAN))
    if not as_json:
        with View() as view:
            for line in (headline(deblurrer), *estimate_lines(work)):
                view.note(line)


def segment(
    plan: options.PlanArgument,
    index: Annotated[
        int, typer.Option("--index", metavar="K", help="Which segment, from 0.", min=0)
    ],
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="One of the plan's kind, such as cuda:1. Default: the first.",
        ),
    ] = None,
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Run one segment of a plan; nothing, where that is done already.

    The segment is finished or not, never half: a run that was killed is simply run again.
    Several may run at once, on one machine or many.

    [bold]Examples[/bold]
      david segment .sharp.mkv.david/plan.json --index 3
      david segment $PLAN --index $SLURM_ARRAY_TASK_ID --device cuda
    """
    from david_cli.jobs.lock import refuse_if_locked
    from david_cli.jobs.plan import load_plan
    from david_cli.jobs.segment import check_source, planned_deblurrer, run_segment

    work = load_plan(plan)
    refuse_if_locked(work.folder)
    check_source(work)
    with open_view(progress, f"segment {index}", quiet=quiet, verbose=verbose) as view:
        deblurrer = planned_deblurrer(work, device)
        view.detail(headline(deblurrer))
        record = run_segment(work, index, deblurrer, on_progress=view.update)
        view.close()
        view.note(
            f"segment {index} (0 to {work.segments - 1}): {record.frames} frames, "
            f"{duration(record.seconds)}"
        )


def join(
    plan: options.PlanArgument,
    yes: options.YesOption = False,
    verify: options.VerifyOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Join the finished segments of a plan, and give the output its name.

    Packets are joined as they are, nothing is coded again. Sound, subtitles and all the rest
    are copied from the source. The plan's folder is removed when the output is complete.

    [bold]Examples[/bold]
      david join .sharp.mkv.david/plan.json
    """
    from david_cli.jobs import join as joining
    from david_cli.jobs.plan import load_plan
    from david_cli.jobs.resume import alone, clear
    from david_cli.jobs.segment import check_source

    work = load_plan(plan)
    checks.may_overwrite(work.target, yes=yes, ask=True)
    check_source(work)
    with alone(work.folder), View(quiet=quiet) as view:
        result = joining.join(work, verify=verify)
        clear(work)
        for line in result.warnings:
            view.warn(line)
        for line in result.events.spared():
            view.note(line)
        view.note(f"wrote {work.target}: {result.frames} frames from {work.segments} segments")


def run_with_view(work: Plan, deblurrer: Deblurrer, view: View, *, verify: bool) -> Report:
    """Do what is left of a plan; the first Ctrl-C lets it finish the segment in hand."""
    from david_cli.jobs.resume import run_plan

    done = len(work.journal.finished())
    if done:
        view.note(f"resuming: {done} of {work.segments} segments are done")
    else:
        view.detail(f"in {work.segments} segments, each kept when it is done")
    with first_ctrl_c_asks() as stopping:

        def update(progress: Progress) -> None:
            view.update(progress)
            if stopping.is_news:
                view.note("finishing the segment in hand; Ctrl-C again stops at once")

        return run_plan(
            work,
            deblurrer,
            verify=verify,
            on_progress=update,
            on_message=view.warn,
            stopping=stopping,
        )


def print_dry_run(job: Job, output: OutputPlan, deblurrer: Deblurrer, segment: int | None) -> None:
    """Say on standard output what a run would keep, lose and take."""
    from david_cli.evaluation.targets import check_target
    from david_cli.jobs.planning import estimate_job, plan_long

    check_target(output.target, overwrite=True)
    work = plan_long(job, output, deblurrer, segment)
    expected = work.estimate if work else estimate_job(job, output, deblurrer)
    free = shutil.disk_usage(output.target.absolute().parent).free
    rows = {
        "work": _pieces(work),
        "time": f"about {duration(expected.seconds)} by {headline(deblurrer)}",
        "memory": f"about {_size(expected.memory)} at the peak",
        "disk": f"about {_size(expected.disk)}"
        + (f", and as much again while it works; {_size(free)} are free" if work else ""),
    }
    lines = plan_lines(output, [])
    print_rows([*lines, *(f"  {key:<{KEY}}{value}" for key, value in rows.items())])


def _pieces(work: Plan | None) -> str:
    if work is None:
        return "in one piece"
    frames = len(work.times)
    return f"{frames} frames in {work.segments} segments of up to {-(-frames // work.segments)}"


def work_facts(work: Plan | None) -> dict[str, object]:
    """What JSON says of a run in segments; nothing of any other."""
    if work is None:
        return {}
    return {"segments": work.segments, "resumed": len(work.journal.finished())}


def completed_summary(source: Path, output: OutputPlan, frames: int) -> Summary:
    """Of an output that an earlier run completed."""
    return Summary(
        target=str(output.target),
        frames=frames,
        seconds=0.0,
        fps=0.0,
        bottleneck="",
        stage_seconds={},
        notes=("an earlier run had completed it",),
        facts={"source": str(source), **plan_facts(output)},
    )


def estimate_lines(work: Plan) -> list[str]:
    """What a plan will take, for a person."""
    expected = work.estimate
    return [
        _pieces(work),
        f"the network will take about {duration(expected.seconds)} and "
        f"{_size(expected.memory)} of memory, the output about {_size(expected.disk)}",
    ]


def _facts(work: Plan) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "plan": str(work.folder / PLAN),
        "source": str(work.job.source),
        "target": str(work.target),
        "frames": len(work.times),
        "segments": work.segments,
        "seconds": round(work.estimate.seconds, 1),
        "memory": work.estimate.memory,
        "disk": work.estimate.disk,
    }


def _size(count: float) -> str:
    """E.g. ``1.2 GB``."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
