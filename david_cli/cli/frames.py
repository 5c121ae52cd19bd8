"""`david frames`: a folder of numbered pictures in, a folder of sharp ones out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, network_options, options
from david_cli.cli.progress import open_view
from david_cli.cli.wording import (
    Summary,
    deblurrer_facts,
    headline,
    listing,
    stage_line,
)
from david_cli.network.shipped import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from david_cli.inference.frames import FolderReport

LISTED = 5
"""Files left out that are named on the terminal; JSON and ``--verbose`` name all."""


def frames(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of frames.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="The folder to write. Default: DIR.sharp beside DIR.",
        ),
    ] = None,
    yes: options.YesOption = False,
    preset: options.PresetOption = None,
    model: network_options.ModelOption = "auto",
    device: network_options.DeviceOption = "auto",
    precision: network_options.PrecisionOption = "auto",
    engine: network_options.EngineOption = "auto",
    tile: network_options.TileOption = "auto",
    overlap: network_options.OverlapOption = DEFAULT_OVERLAP,
    strength: network_options.StrengthOption = 1.0,
    only_blurry: network_options.OnlyBlurryOption = False,
    sharp_above: network_options.SharpAboveOption = None,
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Sharpen a folder of frames: PNG, JPEG, TIFF, WebP, BMP, EXR, DPX or JPEG XL.

    Frames play in natural order (2 before 10) and come out under the same names, with the same
    bit depth, alpha, ICC profile and EXIF. Linear light and film scans are shown to the network
    through a curve, and keep what lies below 0 and above 1. Pictures of another size begin a new
    scene; other files are left out and listed.

    [bold]Examples[/bold]
      david frames scans/
      david frames scans/ -o sharp/ --tile 512
    """
    checks.parse_strength(strength)
    sharp_limit = checks.parse_sharp_above(only_blurry, sharp_above)
    tile_size = checks.parse_tile(tile)

    from david_cli.images import find_frames

    found, _ = find_frames(source)  # a missing or empty folder fails here, before torch loads

    from david_cli.inference.frames import deblur_frame_folder, default_target
    from david_cli.inference.loading import load_deblurrer

    target = default_target(source) if output is None else output
    checks.refuse_own_input(source, target)
    taken = next((target / p.name for p in found if (target / p.name).exists()), None)
    overwrite = yes
    if taken is not None:
        overwrite = checks.may_overwrite(taken, yes=yes, ask=progress != "json")

    with open_view(progress, source.name, quiet=quiet, verbose=verbose) as view:
        deblurrer = load_deblurrer(
            model,
            device=device,
            precision=precision,
            tile=tile_size,
            overlap=overlap,
            sharp_above=sharp_limit,
            engine=engine,
        )
        facts = {"command": "frames", "source": str(source), "target": str(target)}
        view.start(headline(deblurrer), len(found), {**facts, **deblurrer_facts(deblurrer)})
        report = deblur_frame_folder(
            source,
            target,
            deblurrer,
            strength=strength,
            overwrite=overwrite,
            on_progress=view.update,
        )
        view.done(_summary(report, shown=len(report.ignored) if verbose else LISTED))


def _summary(report: FolderReport, shown: int) -> Summary:
    others = [path.name for path in report.ignored]
    left_out = (f"left out: {listing(others, shown)}",) if others else ()
    return Summary(
        target=str(report.target),
        frames=report.frames,
        seconds=report.seconds,
        fps=report.fps,
        bottleneck=report.bottleneck,
        stage_seconds=report.stage_seconds,
        warnings=(*report.losses, *report.events.lines()),
        notes=(*left_out, *report.events.spared()),
        details=(stage_line(report.stage_seconds),),
        facts={"source": str(report.source), "left_out": others},
    )
