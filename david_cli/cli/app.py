"""The `david` command: its sub-commands, and the one place where errors become messages.

Everything a command needs from torch or av is imported when it runs, so that ``--help`` and
``--version`` stay quick.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType
from typing import Annotated, NoReturn

import typer

from david_cli import __version__
from david_cli.cli.attention import attention
from david_cli.cli.batch import batch
from david_cli.cli.bench import bench
from david_cli.cli.compare import compare
from david_cli.cli.config import config
from david_cli.cli.config_command import ConfigurableCommand, ConfigurableGroup, UndauntedCommand
from david_cli.cli.deblur import deblur
from david_cli.cli.doctor import doctor
from david_cli.cli.evaluate import evaluate
from david_cli.cli.export import export
from david_cli.cli.finetune import finetune
from david_cli.cli.frames import frames
from david_cli.cli.help import page
from david_cli.cli.info import info
from david_cli.cli.models import models
from david_cli.cli.options import EXIT_CODES
from david_cli.cli.preview import preview
from david_cli.cli.report import report as report_command
from david_cli.cli.segments import join, plan, segment
from david_cli.cli.synth import synth
from david_cli.cli.train import train
from david_cli.cli.verify import verify
from david_cli.errors import DavidError, DeviceError, Interrupted, OutputError
from david_cli.files import DISK_FULL

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_PARSER = re.compile(r"Value error, |, unable to (parse|interpret)[\w ]*[a-z]")
"""What Typer's messages tell of its own ways."""

HELP = """
Turn shaky, motion-blurred footage sharp.

Give david a video and it writes a sharp one beside it, with the sound, the subtitles, the
timing and the colours of the original. Give it a folder of numbered pictures and it writes
a folder of sharp ones.

[bold]Examples[/bold]
  david deblur holiday.mp4
  david deblur holiday.mp4 -o sharp.mkv --strength 0.7
  david frames scans/ -o sharp/ --tile 512
  david preview holiday.mp4
"""

app = typer.Typer(
    name="david",
    cls=ConfigurableGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)


COMMANDS: dict[str, dict[str, Callable[..., None]]] = {  # help panel -> name -> function
    "Commands": {
        "deblur": deblur,
        "batch": batch,
        "frames": frames,
    },
    "Before and after": {
        "info": info,
        "preview": preview,
        "compare": compare,
        "report": report_command,
        "verify": verify,
    },
    "Long jobs": {
        "plan": plan,
        "segment": segment,
        "join": join,
    },
    "Measuring and training": {
        "eval": evaluate,
        "attention": attention,
        "bench": bench,
        "synth": synth,
        "train": train,
        "finetune": finetune,
    },
    "Setting up": {
        "doctor": doctor,
        "models": models,
        "export": export,
    },
}

for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        # Typer reads a signature six times: strings are made types once, or help would be slow
        command.__annotations__ = inspect.get_annotations(command, eval_str=True)
        kind = UndauntedCommand if command is doctor else ConfigurableCommand
        app.command(name, cls=kind, rich_help_panel=panel, **page(command.__doc__))(command)
app.add_typer(config, rich_help_panel="Setting up")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"david {__version__}")
        raise typer.Exit()


@app.callback(**page(HELP, EXIT_CODES))
def david(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            help="Print the version.",
            is_eager=True,
            callback=_show_version,
        ),
    ] = False,
) -> None:
    """The options of `david` itself; `HELP` is what people read."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its documented code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if "--debug" not in arguments:
        warnings.simplefilter("ignore")  # what libraries warn developers of is no news to users
    # Torch reads it when it is loaded: large frames in huge pages, which on Linux halve the time of
    # colour conversion at 4K, most of which otherwise goes into memory mapped page by page.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    code = run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # `david models | head -1`: nobody is listening any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """The error boundary: run a command line, report what goes wrong, give the exit code."""
    kept = ""
    options: dict[str, object] = {}  # of the command, wherever they were set
    with stop_on_signals() as stopped:
        try:
            ended = app(list(arguments), prog_name="david", standalone_mode=False, obj=options)
            code, message = int(ended or 0), ""
        except SystemExit as leave:  # Typer's answer to a broken pipe, and to --show-completion
            code, message = leave.code if isinstance(leave.code, int) else 0, ""
        except Exception as error:
            code, message = describe(error)
            if "--debug" in arguments or options.get("debug"):
                traceback.print_exc()
        except Interrupted as error:
            code, message = 128 + signal.SIGINT, "stopped"
            kept = f"; {error}, and this goes on: {_resuming(arguments)}"
        except KeyboardInterrupt:
            code, message = 128 + signal.SIGINT, ""
    if stopped:
        code, message = 128 + stopped[0], f"stopped by {signal.Signals(stopped[0]).name}"
    message += kept
    if message:
        json = options.get("progress") == "json" or _wants_json_events(arguments)
        report(code, message, json=json)
    return code


def _resuming(arguments: Sequence[str]) -> str:
    """The command that goes on with what an interrupted one has done."""
    drops_fresh = (
        "deblur" in arguments[:1]
    )  # a batch needs it still: for the clips it had not come to
    rest = [word for word in arguments if not (drops_fresh and word == "--fresh")]
    return shlex.join(["david", *rest])


def describe(error: Exception) -> tuple[int, str]:
    """The exit code and the one line for an error."""
    if isinstance(error, DavidError):
        return error.exit_code, "; ".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, typer.TyperException):
        return error.exit_code, _usage(error)
    if isinstance(error, typer.Abort):
        return DavidError.exit_code, "stopped: no answer was given"
    if isinstance(error, MemoryError):
        return DeviceError.exit_code, "out of memory; smaller tiles need less, e.g. --tile 256"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        where = f" while writing {error.filename}" if error.filename else ""
        return (
            OutputError.exit_code,
            f"the disk is full{where}; free some space or use -o elsewhere",
        )
    return DavidError.exit_code, (
        f"unexpected {type(error).__name__}: {error}; "
        "this is a bug, please report it with what --debug and 'david doctor' print"
    )


def report(code: int, message: str, *, json: bool) -> None:
    """Print the error line, and the JSON event where JSON was asked for."""
    from david_cli.cli.progress import emit, print_line, stderr_console
    from david_cli.cli.wording import one_line

    print_line(stderr_console(), "error", message)
    if json:
        emit("error", {"message": one_line(message), "exit_code": code})


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Turn SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt; yield the list of those received.

    The library then cleans up in the same way after each, and only the exit code differs.
    Signals that the parent told us to ignore (nohup) stay ignored.
    """
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _usage(error: typer.TyperException) -> str:
    """Typer's message, and the help that would have avoided it; empty where help was shown."""
    message = _PARSER.sub("", " ".join(error.format_message().split()))
    context = getattr(error, "ctx", None)
    if not message or context is None:
        return message
    see = " See" if message.endswith("?") else "; see"
    return f"{message.rstrip('.')}{see} '{context.command_path} --help'"


def _wants_json_events(arguments: Sequence[str]) -> bool:
    separate = ("--progress", "json") in pairwise(arguments)
    return separate or "--progress=json" in arguments
