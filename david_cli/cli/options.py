"""The options that commands share, as Annotated aliases, and the readers of their values.

Only Typer is imported here: `david --help` must neither wait for torch nor for av. Values that
are more than a word (a time, a tile, ``key=value``) reach the command as text and are read by
the ``parse_*`` functions, which raise `UsageError` naming the option.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import typer

from david_cli.errors import OutputError, UsageError

DeinterlaceMode = Literal["auto", "off", "bwdif"]
StreamFormat = Literal["y4m", "nut", "mkv", "raw"]
ProgressMode = Literal["auto", "bar", "plain", "json", "none"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]

MODEL_PANEL = "Model and device"
ENCODING_PANEL = "Encoding"
PIPE_PANEL = "Pipes"
WORK_PANEL = "Long runs"
REPORT_PANEL = "Reporting"

EXIT_CODES = """\
[bold]Exit codes[/bold]
  0    done
  1    any other failure
  2    usage: an option that cannot be
  3    input: missing, damaged, or no picture in it
  4    output: encoder, container, disk, existing file
  5    model: unknown, damaged or foreign weights
  6    device: absent, or out of memory
  7    batch: some of the videos failed
  8    verify: the result is not what its source was
  130  stopped by Ctrl-C (143 by SIGTERM)
  141  nobody reads `-o -` any more"""

_TIME = re.compile(r"(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d+(?:\.\d*)?|\.\d+)", re.ASCII)


def _complete_models(incomplete: str) -> list[str]:
    return [name for name in ("auto", "david", "david-lite") if name.startswith(incomplete)]


def _complete_devices(incomplete: str) -> list[str]:
    return [name for name in ("auto", "cpu", "cuda", "mps") if name.startswith(incomplete)]


def _complete_codecs(incomplete: str) -> list[str]:
    names = ("h264", "hevc", "av1", "vp9", "prores", "dnxhr", "ffv1")
    return [name for name in names if name.startswith(incomplete)]


def _complete_encoders(incomplete: str) -> list[str]:
    return [name for name in ("software", "hardware", "auto") if name.startswith(incomplete)]


StartOption = Annotated[
    str | None,
    typer.Option(
        "--start", metavar="TIME", help="Begin here: seconds or [HH:]MM:SS. Sound follows."
    ),
]
EndOption = Annotated[
    str | None, typer.Option("--end", metavar="TIME", help="Stop before this time of IN.")
]

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        show_default=False,
        metavar="NAME",
        help="A name that `david models` lists, or a .safetensors file. "
        "auto takes david on a GPU and david-lite on a CPU.",
        rich_help_panel=MODEL_PANEL,
        autocompletion=_complete_models,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        show_default=False,
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N or mps. auto takes the first GPU, else the CPU.",
        rich_help_panel=MODEL_PANEL,
        autocompletion=_complete_devices,
    ),
]
DevicesOption = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="LIST",
        help="Share the work: auto (all GPUs, else the CPU), GPUs such as 0,1 or processes such as "
        "cpu:2.",
        rich_help_panel=MODEL_PANEL,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        show_default=False,
        metavar="NAME",
        help="auto, fp32, fp16 or bf16. auto is fp16 on CUDA, fp32 elsewhere.",
        rich_help_panel=MODEL_PANEL,
    ),
]
TileOption = Annotated[
    str,
    typer.Option(
        "--tile",
        show_default=False,
        metavar="N",
        help="Side of the tiles in pixels; 0 takes whole frames, auto (the default) looks at "
        "the free memory.",
        rich_help_panel=MODEL_PANEL,
    ),
]
OverlapOption = Annotated[
    int,
    typer.Option(
        "--overlap",
        show_default=False,
        metavar="N",
        help="Pixels by which neighbouring tiles overlap: 112 if not given.",
        rich_help_panel=MODEL_PANEL,
    ),
]
StrengthOption = Annotated[
    float,
    typer.Option(
        "--strength",
        show_default=False,
        metavar="0..1",
        help="How much of the change is applied: 1 is all of it, 0 gives the source exactly.",
        rich_help_panel=MODEL_PANEL,
    ),
]
DeinterlaceOption = Annotated[
    DeinterlaceMode,
    typer.Option(
        "--deinterlace",
        show_default=False,
        metavar="NAME",
        help="auto, off or bwdif. auto makes interlaced frames progressive, one for one; bwdif "
        "does so with every frame; off keeps the fields.",
        rich_help_panel=MODEL_PANEL,
    ),
]

CodecOption = Annotated[
    str | None,
    typer.Option(
        "--codec",
        metavar="NAME",
        help="h264, hevc, av1, vp9, prores, dnxhr or ffv1. "
        "By default h264 for 8 bits, hevc for more bits or HDR.",
        rich_help_panel=ENCODING_PANEL,
        autocompletion=_complete_codecs,
    ),
]
EncoderOption = Annotated[
    str,
    typer.Option(
        "--encoder",
        show_default=False,
        metavar="NAME",
        help="software (the default: the better picture for the bits), hardware, auto (hardware "
        "where a trial shows that it works) or a name such as hevc_nvenc.",
        rich_help_panel=ENCODING_PANEL,
        autocompletion=_complete_encoders,
    ),
]
LosslessOption = Annotated[
    bool,
    typer.Option(
        "--lossless",
        metavar="",
        help="Lose nothing in the encoder: hevc by default, or h264, av1, vp9, ffv1. Large files.",
        rich_help_panel=ENCODING_PANEL,
    ),
]
MatchSourceOption = Annotated[
    bool,
    typer.Option(
        "--match-source",
        metavar="",
        help="Encode like IN: its codec, profile, bit depth, key frames and bit rate.",
        rich_help_panel=ENCODING_PANEL,
    ),
]
CrfOption = Annotated[
    float | None,
    typer.Option(
        "--crf",
        metavar="N",
        help="Quality of the encoder: lower is better and larger. Default: near transparent.",
        rich_help_panel=ENCODING_PANEL,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Speed of the encoder, in its own words (x264: veryfast .. veryslow).",
        rich_help_panel=ENCODING_PANEL,
    ),
]
PixFmtOption = Annotated[
    str | None,
    typer.Option(
        "--pix-fmt",
        metavar="NAME",
        help="Pixel format of the output, e.g. yuv420p10le. Default: the source's.",
        rich_help_panel=ENCODING_PANEL,
    ),
]
EncoderOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder-option",
        metavar="K=V",
        help="Any other option of the encoder; may be given several times.",
        rich_help_panel=ENCODING_PANEL,
    ),
]

FormatOption = Annotated[
    StreamFormat | None,
    typer.Option(
        "--format",
        show_default=False,
        metavar="NAME",
        help="Of `-o -`: y4m, nut, mkv or raw. Default: that of IN where it is one of these, "
        "else mkv.",
        rich_help_panel=PIPE_PANEL,
    ),
]
RawInputOption = Annotated[
    str | None,
    typer.Option(
        "--raw-input",
        metavar="WxH:FMT:RATE",
        help="What `-` sends is raw video of this size, pixel format and rate, e.g. "
        "1920x1080:yuv420p:30000/1001.",
        rich_help_panel=PIPE_PANEL,
    ),
]

SegmentOption = Annotated[
    int | None,
    typer.Option(
        "--segment",
        min=0,
        show_default=False,
        metavar="FRAMES",
        help="Frames of a segment, the unit in which work is kept; 0 does all in one piece. By "
        "default long runs are cut into segments of about a minute.",
        rich_help_panel=WORK_PANEL,
    ),
]
FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh",
        metavar="",
        help="Forget what an interrupted run has finished, and start over.",
        rich_help_panel=WORK_PANEL,
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        metavar="",
        help="Only say what would be kept and lost, and what it would take: time, from a short "
        "trial, memory and disk.",
        rich_help_panel=WORK_PANEL,
    ),
]
PlanArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PLAN", help="The plan.json that `david plan` made.", show_default=False
    ),
]

YesOption = Annotated[
    bool,
    typer.Option("--yes", "-y", metavar="", help="Overwrite what is there without asking."),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify",
        metavar="",
        help="Decode the finished file and compare it with IN before it gets its name: frames, "
        "times, colours, sound and all the rest. What fails is an error (4) and leaves no file.",
    ),
]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        show_default=False,
        metavar="MODE",
        help="auto, bar, plain, json or none. auto is a bar on a terminal, else one plain "
        "line every ten seconds; json writes one object a line to standard output.",
        rich_help_panel=REPORT_PANEL,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        metavar="",
        help="Print warnings and errors only.",
        rich_help_panel=REPORT_PANEL,
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        metavar="",
        help="Also say what was kept, how it was encoded and where the time went.",
        rich_help_panel=REPORT_PANEL,
    ),
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug", metavar="", help="Print the traceback of an error.", rich_help_panel=REPORT_PANEL
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON object instead.")
]


def parse_levels(option: str, text: str | None) -> list[int] | None:
    """Read blur levels such as 3,7,11,15; None where none are given.

    Raises:
        UsageError: something else was written.
    """
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}: give numbers such as 3,7,11,15") from None


def parse_time(option: str, text: str | None) -> Fraction | None:
    """Read ``SS[.fff]``, ``MM:SS[.fff]`` or ``HH:MM:SS[.fff]`` as exact seconds."""
    if text is None:
        return None
    match = _TIME.fullmatch(text.strip())
    if match is None or (match["m"] and Fraction(match["s"]) >= 60):
        raise UsageError(
            f"{option} {text}: not a time; write seconds (83.5) or [HH:]MM:SS (1:23.5)"
        )
    if match["h"] and int(match["m"]) >= 60:
        raise UsageError(f"{option} {text}: an hour has 60 minutes; write [HH:]MM:SS")
    return 3600 * int(match["h"] or 0) + 60 * int(match["m"] or 0) + Fraction(match["s"])


def parse_span(start: str | None, end: str | None) -> tuple[Fraction | None, Fraction | None]:
    """Read ``--start`` and ``--end``; the span between them must hold something."""
    first, last = parse_time("--start", start), parse_time("--end", end)
    if last is not None and last <= (first or 0):
        raise UsageError(f"--end {end} is not after the start ({start or 0}): nothing to deblur")
    return first, last


def parse_tile(text: str) -> str | int:
    """Read ``--tile``: ``auto`` or a whole number (whether it can work is the deblurrer's say)."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--tile {text}: give a number of pixels, 0 or auto") from None


def parse_strength(strength: float) -> float:
    """Check ``--strength``; no number (nan) is refused as well."""
    if not 0.0 <= strength <= 1.0:
        raise UsageError(f"--strength {strength:g}: give a number from 0 to 1")
    return strength


def parse_encoder_options(pairs: Iterable[str] | None) -> dict[str, str]:
    """Read ``--encoder-option KEY=VALUE`` ...; the last one of a key wins."""
    options = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"--encoder-option {pair}: write KEY=VALUE, e.g. tune=grain")
        options[key] = value
    return options


STANDARD = Path("-")
"""Standard input or output, where a command takes it."""


def check_output_stream(output: Path | None, format: str | None, progress: ProgressMode) -> None:
    """Check an ``-o`` that may be standard output.

    Raises:
        UsageError: The other options do not fit.
        OutputError: It is a folder.
    """
    if output != STANDARD:
        if format is not None:
            raise UsageError(f"--format {format} is for -o -; elsewhere the name of OUT says it")
        check_output_file(output)
    elif progress == "json":
        raise UsageError("--progress json and -o - both write to standard output; leave one out")


def check_output_file(output: Path | None) -> None:
    """Refuse an ``-o`` that names no file.

    Raises:
        UsageError: It is ``-``, which many tools take for standard output.
        OutputError: It is a folder.
    """
    if output == STANDARD:
        raise UsageError("-o -: david cannot write to standard output; give a file name")
    if output is not None and output.is_dir():
        raise OutputError(f"{output} is a folder; name a file in it with -o")


def refuse_own_input(source: Path, target: Path) -> None:
    """Nothing is ever written over what it is made from, not even with ``--yes``."""
    if target.exists() and target.samefile(source):
        raise OutputError(f"{target} is the input itself; choose another output with -o")


def refuse_dry_pipe(source: Path, target: Path | None) -> None:
    """What a pipe will send cannot be looked at without using it up."""
    if STANDARD in (source, target):
        raise UsageError("--dry-run is for files: a pipe can be read only once")


def may_overwrite(target: Path, *, yes: bool, ask: bool) -> bool:
    """Whether the file `target`, if it exists, may be replaced: by ``--yes``, or by asking.

    Raises:
        OutputError: It exists and nobody said yes.
    """
    if yes or target == STANDARD or not target.exists():
        return yes
    if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
        raise OutputError(f"{target} exists; --yes overwrites it, -o writes elsewhere")
    if not typer.confirm(f"{target} exists. Overwrite it?", err=True):
        raise OutputError(f"{target} exists and was left as it is; -o writes elsewhere")
    return True
