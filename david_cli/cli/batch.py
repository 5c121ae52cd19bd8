"""`david batch`: many videos in, many sharp videos out, on all devices that there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from david_cli.cli import checks, encoding_options, network_options, options
from david_cli.cli.batch_view import BatchView, open_batch_view, print_table
from david_cli.cli.stopping import first_ctrl_c_asks
from david_cli.errors import Interrupted, UsageError
from david_cli.files import replace_file
from david_cli.network.shipped import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from david_cli.jobs.batch import Batch, Wishes
    from david_cli.jobs.crew import Crew
    from david_cli.jobs.scheduler import Outcome
    from david_cli.jobs.tasks import Order
    from david_cli.jobs.watch import DropFolders

SOME_FAILED = 7
"""The documented exit code for a batch of which not all came out."""
PATIENCE = 120
"""Seconds that what is in hand may take once somebody asked to stop."""


def batch(
    context: typer.Context,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP|DIR...",
            help="Videos, folders of videos (and those below), patterns such as 'in/**/*.mov'.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT_DIR",
            help="The folder for the results; folders in DIR are made in it again.",
            show_default=False,
        ),
    ],
    yes: options.YesOption = False,
    preset: options.PresetOption = None,
    verify: options.VerifyOption = False,
    retry: Annotated[
        int,
        typer.Option(
            "--retry",
            metavar="N",
            min=0,
            show_default=False,
            help="Try a clip that failed N more times, after all others.",
        ),
    ] = 0,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            metavar="",
            help="Go on for ever: take new videos as soon as they are complete. Ctrl-C ends it.",
        ),
    ] = False,
    devices: network_options.DevicesOption = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Work on the Ray cluster at ADDRESS, or local for one on this machine.",
            rich_help_panel=network_options.MODEL_PANEL,
        ),
    ] = None,
    model: network_options.ModelOption = "auto",
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
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            metavar="",
            help="Make again what was made before, and forget what was begun.",
            rich_help_panel=options.WORK_PANEL,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            metavar="",
            help="Print the report as one JSON object instead of the table.",
            rich_help_panel=options.REPORT_PANEL,
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Also write the report there, as JSON.",
            rich_help_panel=options.REPORT_PANEL,
        ),
    ] = None,
    progress: options.ProgressOption = "auto",
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Sharpen many videos, one after the other on each device, and go on after failures.

    Results are called <name>.sharp.<ext>. What was made before, of the same source with the
    same settings, is not made again: after a stop, the same command goes on. The clips that
    take longest come first, and long ones are shared by all devices. If some clips fail, the
    exit code is 7.

    [bold]Examples[/bold]
      david batch holiday/ -o holiday.sharp/
      david batch 'rushes/**/*.mov' -o sharp/ --codec prores --devices 0,1
      david batch incoming/ -o outgoing/ --watch
    """
    tile_size = checks.parse_tile(tile)
    checks.parse_strength(strength)
    sharp_limit = checks.parse_sharp_above(only_blurry, sharp_above)
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"--report {report}: no such folder; create it or choose another")
    if as_json and progress == "json":
        raise UsageError("--json and --progress json both write to standard output; leave one out")

    from david_cli.jobs.batch import Batch, Wishes
    from david_cli.jobs.clips import find_clips
    from david_cli.jobs.settings import Settings
    from david_cli.jobs.watch import DropFolders

    encode = checks.read_encoding(context)
    settings = Settings(
        model, precision, tile_size, overlap, strength, deinterlace, encode, sharp_limit, engine
    )
    wishes = Wishes(
        out=output,
        settings=settings,
        overwrite=yes,
        fresh=fresh,
        verify=verify,
        segment=segment,
    )
    crew = _crew(devices or "auto", ray, wishes)
    work = Batch(wishes)
    folders = DropFolders(sources, output) if watch else None
    with open_batch_view(progress, quiet=quiet, verbose=verbose) as view:
        found = [] if folders else find_clips(sources, output, view.warn)
        orders, settled = work.take(found)
        view.begin(orders, settled)
        try:
            if orders or folders:
                _run(work, crew, view, orders, folders, retry)
        finally:
            facts = work.report()
            if work.outcomes:
                view.over(facts, work.events.spared())
                if not (as_json or quiet or progress == "json"):
                    print_table(work.outcomes)
            _deliver(facts, report, as_json=as_json)
    if facts["failed"]:
        raise typer.Exit(SOME_FAILED)


def _deliver(facts: dict[str, Any], file: Path | None, *, as_json: bool) -> None:
    text = json.dumps(facts, indent=2)
    if as_json:
        typer.echo(text)
    if file is not None:
        replace_file(file, f"{text}\n".encode())


def _run(
    work: Batch,
    crew: Crew,
    view: BatchView,
    orders: Sequence[Order],
    folders: DropFolders | None,
    retries: int,
) -> None:
    """Do what is to be done; the first Ctrl-C lets what is in hand be finished.

    Raises:
        Interrupted: somebody stopped it.
    """
    from david_cli.jobs.scheduler import Scheduler

    def settle(outcome: Outcome) -> None:
        work.outcomes.append(outcome)
        view.outcome(outcome)

    def arrivals() -> list[Order]:
        assert folders is not None
        taken: list[Order] = []
        for clip in folders.arrivals(work.in_hand):
            orders, settled = work.take([clip], refuse=False)
            view.begin(orders, settled)
            taken += orders
        return taken

    scheduler = Scheduler(crew, retries, view.given, view.message, settle)
    try:
        with first_ctrl_c_asks() as stopping, work.alone(), scheduler, crew:
            scheduler.add(orders)
            scheduler.run(arrivals if folders else None, stopping)
            if stopping():
                view.note("finishing what is in hand; Ctrl-C again stops at once")
                scheduler.finish_what_is_in_hand(PATIENCE)
                raise KeyboardInterrupt
    except KeyboardInterrupt as err:
        raise Interrupted(f"{len(work.outcomes)} of {len(work.clips)} clips are done") from err


def _crew(devices: str, ray: str | None, wishes: Wishes) -> Crew:
    """Who does the work."""
    if ray is not None:
        from david_cli.jobs.cluster import RayCrew

        return RayCrew(ray, devices, wishes.settings, wishes.out)
    from david_cli.jobs.devices import parse_devices, present
    from david_cli.jobs.processes import LocalCrew

    return LocalCrew(present(parse_devices(devices)), wishes.settings)
