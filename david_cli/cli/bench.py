"""`david bench`: how fast david is on this machine, and how much of the machine that uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from david_cli.cli import checks, options
from david_cli.cli.progress import View
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from david_cli.benchmark.results import Report
    from david_cli.benchmark.run import Plan

WHAT_PANEL = "What to measure"


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A shipped name or a .safetensors file. May be repeated. Default: david-lite and "
            "david.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="LIST",
            help="Some of 360p, 720p, 1080p and 4k. Default: 360p,720p on a CPU, 720p,1080p,4k "
            "on a GPU.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="LIST",
            help="Some of auto, fp32, fp16 and bf16.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = "auto",
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="LIST",
            help="Some of auto, torch and openvino.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = "auto",
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="NAME",
            help="auto, cpu, cuda, cuda:N or mps.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = "auto",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            metavar="",
            help="About a minute: shorter measurements, and only the smallest default case.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            metavar="",
            help="Also where the time goes: the network by operator, the run by stage.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = False,
    optimisations: Annotated[
        bool,
        typer.Option(
            "--optimisations",
            metavar="",
            help="Instead: what each optimisation gains, one on top of the other, and how far "
            "its pictures are from those of plain float32.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = False,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory",
            metavar="",
            help="Instead: the memory of david-lite on the CPU, for ten minutes of 360p and for 60 "
            "frames of 4k.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write everything here, as JSON."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare", metavar="FILE", help="Also print ratios to an earlier --json report."
        ),
    ] = None,
    yes: options.YesOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Measure david's speed on this machine, and what the machine could do at best.

    Prints Markdown: the rates of matrix products, convolutions and copies; each model from end to
    end; the network alone beside its own convolutions; each stage alone. The clip is made on the
    spot. Times are those of the quickest run; other work on the machine spoils ratios, so a few
    minutes without any are best.

    [bold]Examples[/bold]
      david bench --quick
      david bench --size 720p,1080p --precision fp32,bf16 --json now.json
      david bench --model david --profile --compare before.json
      david bench --optimisations --model david-lite --size 360p
    """
    if optimisations and memory:
        raise UsageError("--optimisations and --memory are measurements of their own: give one")
    _check_target(json, yes=yes)

    from david_cli.benchmark.compare import comparison_of
    from david_cli.benchmark.results import read_report, to_json
    from david_cli.benchmark.tables import tables_of
    from david_cli.evaluation.render import to_markdown
    from david_cli.evaluation.targets import write_text

    before = None if compare is None else read_report(compare)
    plan = _plan(model, size, precision, engine, device, quick=quick, profile=profile)
    view = View(quiet=quiet)
    report = _measured(view, plan, optimisations=optimisations, memory=memory, quick=quick)
    tables = [*tables_of(report), *([] if before is None else [comparison_of(report, before)])]
    typer.echo("\n".join(map(to_markdown, tables)), nl=False)
    if json is not None:
        write_text(json, to_json(report))


def _check_target(target: Path | None, *, yes: bool) -> None:
    """Refuse before the work what could not be written after it."""
    from david_cli.evaluation.targets import check_folder

    checks.check_output_file(target)
    if target is not None:
        checks.may_overwrite(target, yes=yes, ask=True)
        check_folder(target)


def _plan(
    model: list[str] | None,
    size: str | None,
    precision: str,
    engine: str,
    device: str,
    *,
    quick: bool,
    profile: bool,
) -> Plan:
    """What was asked for, and what suits the device where nothing was said."""
    from david_cli.benchmark.case import FULL, QUICK
    from david_cli.benchmark.run import Plan, default_models, default_sizes

    return Plan(
        models=tuple(model or default_models(quick=quick)),
        sizes=_parse_sizes(size) or default_sizes(device, quick=quick),
        precisions=tuple(precision.split(",")),
        engines=tuple(engine.split(",")),
        device=device,
        effort=QUICK if quick else FULL,
        profile=profile,
    )


def _parse_sizes(text: str | None) -> tuple[str, ...]:
    """Read ``--size``; nothing where nothing is given."""
    from david_cli.benchmark.results import SIZES

    sizes = tuple(dict.fromkeys(text.lower().split(","))) if text else ()
    for size in sizes:
        if size not in SIZES:
            raise UsageError(f"--size {text}: choose of {', '.join(SIZES)}, with commas between")
    return sizes


def _measured(view: View, plan: Plan, *, optimisations: bool, memory: bool, quick: bool) -> Report:
    from david_cli.benchmark.memory import LENGTHS, QUICK_LENGTHS
    from david_cli.benchmark.run import run_benchmark, run_memory, run_optimisations

    if memory:
        return run_memory(QUICK_LENGTHS if quick else LENGTHS, view.note)
    if optimisations:
        return run_optimisations(plan, view.note)
    return run_benchmark(plan, view.note)
