"""`david deblur`: one video in, one sharp video out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import options
from david_cli.cli.progress import open_view
from david_cli.cli.wording import (
    Summary,
    deblurrer_facts,
    headline,
    listing,
    plan_facts,
    stage_line,
)

if TYPE_CHECKING:
    from david_cli.inference.pipeline import Report
    from david_cli.video.frame import VideoInfo
    from david_cli.video.streams import EncodeOptions, OutputPlan


def deblur(
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
    start: Annotated[
        str | None,
        typer.Option(
            "--start", metavar="TIME", help="Begin here: seconds or [HH:]MM:SS. Sound follows."
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Stop before this time of IN.")
    ] = None,
    model: options.ModelOption = "auto",
    device: options.DeviceOption = "auto",
    precision: options.PrecisionOption = "auto",
    tile: options.TileOption = "auto",
    overlap: options.OverlapOption = 112,
    strength: options.StrengthOption = 1.0,
    codec: options.CodecOption = None,
    crf: options.CrfOption = None,
    preset: options.PresetOption = None,
    pix_fmt: options.PixFmtOption = None,
    encoder_option: options.EncoderOptionsOption = None,
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Sharpen a video and keep everything else in the file.

    Each frame is rebuilt from itself and its three neighbours on either side. Frames keep
    their times; sound, subtitles, chapters, metadata and rotation are copied. The output
    appears under its name only when it is complete.

    [bold]Examples[/bold]
      david deblur holiday.mp4
      david deblur holiday.mp4 -o sharp.mp4 --device cuda
      david deblur film.mkv --start 1:20 --end 1:45 --crf 14
    """
    options.check_output_file(output)
    span = options.parse_span(start, end)
    tile_size = options.parse_tile(tile)
    options.parse_strength(strength)
    extra = options.parse_encoder_options(encoder_option)

    from david_cli.video.streams import EncodeOptions

    encode = EncodeOptions(codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt, options=extra)
    seen, plan = _plan(source, output, encode, span)
    overwrite = options.may_overwrite(plan.target, yes=yes, ask=progress != "json")

    with open_view(progress, source.name, quiet=quiet, verbose=verbose) as view:
        from david_cli.inference.deblurrer import load_deblurrer
        from david_cli.inference.pipeline import deblur_video, expected_frames

        deblurrer = load_deblurrer(
            model, device=device, precision=precision, tile=tile_size, overlap=overlap
        )
        total = expected_frames(seen, span[0] or Fraction(0), span[1])
        facts = {"source": str(source), **plan_facts(plan), **deblurrer_facts(deblurrer)}
        view.start(headline(deblurrer), total, {"command": "deblur", **facts})
        report = deblur_video(
            source,
            output,
            deblurrer,
            strength=strength,
            encode=encode,
            start=span[0],
            end=span[1],
            overwrite=overwrite,
            on_progress=view.update,
            on_message=view.warn,
        )
        view.done(_summary(report))


def _plan(
    source: Path,
    output: Path | None,
    encode: EncodeOptions,
    span: tuple[Fraction | None, Fraction | None],
) -> tuple[VideoInfo, OutputPlan]:
    """Look at the source and plan the output, so that what cannot work fails before torch loads."""
    from david_cli.video.reader import VideoReader
    from david_cli.video.streams import plan_output

    with VideoReader(source, start=span[0], end=span[1]) as reader:
        return reader.info, plan_output(reader, output, encode)


def _summary(report: Report) -> Summary:
    details = (
        f"{report.plan.codec} by {report.plan.encoder}, {report.plan.pix_fmt}",
        f"kept: {listing(report.plan.kept, 20)}" if report.plan.kept else "",
        stage_line(report.stage_seconds),
    )
    return Summary(
        target=str(report.target),
        frames=report.frames,
        seconds=report.seconds,
        fps=report.fps,
        bottleneck=report.bottleneck,
        stage_seconds=report.stage_seconds,
        warnings=report.warnings,
        details=tuple(line for line in details if line),
        facts={"source": str(report.source), **plan_facts(report.plan)},
    )
