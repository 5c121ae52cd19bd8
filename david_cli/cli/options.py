"""The options that commands share, as Annotated aliases.

Only Typer is imported here: `david --help` must neither wait for torch nor for av. Values that
are more than a word (a time, a tile, ``key=value``) reach the command as text; ``checks`` reads
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from david_cli.cli.presets import PRESETS

DeinterlaceMode = Literal["auto", "off", "bwdif"]
StreamFormat = Literal["y4m", "nut", "mkv", "raw"]
ProgressMode = Literal["auto", "bar", "plain", "json", "none"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
Engine = Literal["auto", "torch", "openvino"]

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


def _complete_models(incomplete: str) -> list[str]:
    return [name for name in ("auto", "david", "david-lite") if name.startswith(incomplete)]


def _complete_presets(incomplete: str) -> list[str]:
    return [name for name in PRESETS if name.startswith(incomplete)]


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

PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Several options under one word: fast, balanced, best, archive, or one of yours; "
        "`david config presets` says what they set. Options beside it win.",
        autocompletion=_complete_presets,
    ),
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
        help="auto, fp32, fp16 or bf16. auto is fp16 on CUDA, bf16 on CPUs made for it, else fp32.",
        rich_help_panel=MODEL_PANEL,
    ),
]
ExactPrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="auto, fp32, fp16 or bf16. fp32 gives the same figures on every machine; auto is what "
        "david deblur takes on this one.",
        rich_help_panel=MODEL_PANEL,
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        show_default=False,
        metavar="NAME",
        help="What computes the network: auto, torch or openvino (on a CPU; extra openvino). "
        "auto is torch.",
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
OnlyBlurryOption = Annotated[
    bool,
    typer.Option(
        "--only-blurry",
        metavar="",
        help="Leave frames alone that are sharp already: they skip the network. Every picture is "
        "measured; see --sharp-above.",
        rich_help_panel=MODEL_PANEL,
    ),
]
SharpAboveOption = Annotated[
    float | None,
    typer.Option(
        "--sharp-above",
        metavar="0..1",
        help="With --only-blurry: sharpness above which a frame is left alone, 0.78 if not given. "
        "Less skips more.",
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
        help="Encode like the source: its codec, profile, bit depth, key frames and bit rate.",
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
EncoderPresetOption = Annotated[
    str | None,
    typer.Option(
        "--encoder-preset",
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
        help="Decode the finished file and compare it with its source before it gets its name: "
        "frames, times, colours, sound and all the rest. What fails is an error (4) and leaves no "
        "file.",
    ),
]
ReportOption = Annotated[
    bool,
    typer.Option(
        "--report",
        metavar="",
        help="Also write <name>.report.html beside OUT: frames before and after, sharpness over "
        "time, settings, versions, speed, what was kept and lost.",
        rich_help_panel=REPORT_PANEL,
    ),
]
ReportFileOption = Annotated[
    Path | None,
    typer.Option(
        "--report-file",
        metavar="FILE",
        help="Write the report there: .html for people, .json for programs.",
        rich_help_panel=REPORT_PANEL,
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
