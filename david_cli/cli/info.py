"""`david info`: what david sees in a file, and what deblurring it would keep or lose."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from david_cli.cli import checks, encoding_options, options
from david_cli.cli.wording import duration, one_line, plan_facts

if TYPE_CHECKING:
    from david_cli.video.frame import ColorSpec, StreamInfo, VideoInfo
    from david_cli.video.streams import OutputPlan

SCHEMA = 1
"""Version of the JSON that ``--json`` prints."""
PRIMARIES = {1: "BT.709", 5: "BT.601 (625)", 6: "BT.601 (525)", 9: "BT.2020", 12: "Display P3"}
TRANSFERS = {1: "BT.709", 6: "BT.601", 13: "sRGB", 14: "BT.2020", 16: "PQ", 18: "HLG"}
MATRICES = {0: "RGB", 1: "BT.709", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
RANGES = {1: "limited range", 2: "full range"}
FIELDS = {"tff": "top field first", "bff": "bottom field first"}
UNSPECIFIED = 2
KEY = 13
"""Columns of the names on the left."""


def info(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The video to look at; - is standard input.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Plan for this output instead of the default."
        ),
    ] = None,
    codec: Annotated[
        str | None, typer.Option("--codec", metavar="NAME", help="Plan for this codec.")
    ] = None,
    encoder: encoding_options.EncoderOption = "software",
    lossless: encoding_options.LosslessOption = False,
    match_source: encoding_options.MatchSourceOption = False,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Show what david sees in a video, and what it would keep or lose.

    Only the first frame is decoded and nothing is written.

    [bold]Examples[/bold]
      david info holiday.mp4
      david info holiday.mov -o holiday.mp4 --json
      ffmpeg -i tape.mxf -f nut - | david info - -o tape.mkv
    """
    from david_cli.video.pipes import standard_input
    from david_cli.video.reader import VideoReader
    from david_cli.video.streams import plan_output

    checks.check_output_file(output)
    encode = checks.read_encoding(context)
    is_piped = source == checks.STANDARD
    given = standard_input() if is_piped else source
    target = checks.STANDARD if is_piped and output is None else output
    with VideoReader(given, deinterlace="auto") as reader:
        seen, warnings = reader.info, list(reader.warnings)
        plan = plan_output(reader, target, encode)
    if as_json:
        facts = {"source": video_facts(seen), "output": plan_facts(plan), "warnings": warnings}
        typer.echo(json.dumps({"schema": SCHEMA, **facts}, indent=2))
        return
    print_rows([*_source_lines(seen), "", *plan_lines(plan, warnings)])


def print_rows(rows: Iterable[str]) -> None:
    """Rows on standard output; on a terminal, what is too long goes on below itself."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for row in rows:
        typer.echo(wrapped(one_line(row), width) if width else one_line(row))


def wrapped(row: str, width: int) -> str:
    """A row with its second column kept to the right of the first."""
    indent = " " * (KEY + 2)
    return textwrap.fill(
        row, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def video_facts(seen: VideoInfo) -> dict[str, Any]:
    """A VideoInfo for JSON; times in seconds, ratios as ``"30000/1001"``."""
    return {
        "path": str(seen.path),
        "container": seen.container,
        "codec": seen.codec,
        "pixel_format": seen.source_format,
        "processed_as": seen.format.name,
        "width": seen.width,
        "height": seen.height,
        "time_base": str(seen.time_base),
        "rate": _text(seen.rate),
        "start": _seconds(seen.start),
        "duration": _seconds(seen.duration),
        "frame_count": seen.frame_count,
        "bit_rate": seen.bit_rate,
        "sample_aspect_ratio": _text(seen.sample_aspect_ratio),
        "rotation": seen.rotation,
        "interlaced": seen.interlaced,
        "fields": seen.fields,
        "color": _color_facts(seen.color),
        "video_index": seen.video_index,
        "streams": [vars(stream) for stream in seen.streams],
        "chapters": seen.chapters,
        "metadata": seen.metadata,
    }


def describe_color(color: ColorSpec) -> str:
    """E.g. ``BT.709, limited range`` or ``BT.2020 primaries, PQ transfer, ... (HDR)``."""
    parts = [
        _named(MATRICES, color.matrix, "matrix"),
        _named(PRIMARIES, color.primaries, "primaries"),
        _named(TRANSFERS, color.transfer, "transfer"),
        RANGES.get(color.range, ""),
    ]
    said = ", ".join(part for part in parts if part) or "not tagged"
    return said + (" (HDR)" if color.hdr else "")


def _source_lines(seen: VideoInfo) -> list[str]:
    rows = {
        "container": seen.container,
        "video": _picture(seen),
        "length": _length(seen),
        "colour": describe_color(seen.color),
        "display": _display(seen),
        "chapters": str(seen.chapters or ""),
    }
    lines = [f"{key:<{KEY}}{value}" for key, value in rows.items() if value]
    others = [stream for stream in seen.streams if stream.index != seen.video_index]
    return [str(seen.path), *("  " + line for line in lines + [_stream(s) for s in others])]


def plan_lines(plan: OutputPlan, warnings: list[str]) -> list[str]:
    """What will be written, kept and lost: a heading, and a row for each thing."""
    rows = [("video", f"{plan.codec} by {plan.encoder}, {plan.pix_fmt}")]
    rows += [("kept", line) for line in plan.kept]
    rows += [("lost", line) for line in plan.losses]
    rows += [("note", line) for line in plan.notes]
    rows += [("warning", line) for line in warnings]
    return [f"would write {plan.target}", *(f"  {key:<{KEY}}{value}" for key, value in rows)]


def _picture(seen: VideoInfo) -> str:
    rate = f", {float(seen.rate):.6g} fps" if seen.rate else ""
    scan = f", interlaced, {FIELDS[seen.fields]}" if seen.fields else ""
    planar = f" (as {seen.format.name})" if seen.format.name != seen.source_format else ""
    size = f"{seen.width}x{seen.height}"
    return f"{seen.codec}, {size}, {seen.source_format}{planar}{rate}{scan}"


def _length(seen: VideoInfo) -> str:
    parts = [duration(float(seen.duration))] if seen.duration else []
    if seen.frame_count:
        parts.append(f"{_count_of(seen.frame_count, 'frame')} by the container's count")
    if seen.start:
        parts.append(f"first frame at {float(seen.start):.6g} s")
    if seen.bit_rate:
        parts.append(f"{seen.bit_rate / 1000:.0f} kbit/s")
    return ", ".join(parts)


def _display(seen: VideoInfo) -> str:
    """Rotation and pixel shape, where they are not the plain ones."""
    parts = [f"rotated by {seen.rotation} degrees"] if seen.rotation else []
    if seen.sample_aspect_ratio and seen.sample_aspect_ratio != 1:
        ratio = seen.sample_aspect_ratio
        parts.append(f"pixels of {ratio.numerator}:{ratio.denominator}")
    return ", ".join(parts)


def _stream(stream: StreamInfo) -> str:
    parts = (stream.codec, stream.detail, stream.language, stream.title)
    return f"{f'{stream.kind} #{stream.index}':<{KEY}}" + ", ".join(part for part in parts if part)


def _color_facts(color: ColorSpec) -> dict[str, int | bool]:
    """H.273 codes as they are."""
    return {**{key: int(value) for key, value in vars(color).items()}, "hdr": color.hdr}


def _named(names: dict[int, str], code: int, what: str) -> str:
    if code == UNSPECIFIED:
        return ""
    return f"{names.get(code, f'code {code}')} {what}"


def _count_of(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _text(value: Fraction | None) -> str | None:
    return str(value) if value else None


def _seconds(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
