"""The options of commands that write a video: how it is encoded, and what pipes carry."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

StreamFormat = Literal["y4m", "nut", "mkv", "raw"]

ENCODING_PANEL = "Encoding"
PIPE_PANEL = "Pipes"


def _complete_codecs(incomplete: str) -> list[str]:
    names = ("h264", "hevc", "av1", "vp9", "prores", "dnxhr", "ffv1")
    return [name for name in names if name.startswith(incomplete)]


def _complete_encoders(incomplete: str) -> list[str]:
    return [name for name in ("software", "hardware", "auto") if name.startswith(incomplete)]


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
