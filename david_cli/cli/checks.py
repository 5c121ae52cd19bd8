"""What the values of options mean: read from text, checked, refused with the option's name.

``parse_*`` and ``read_*`` give a value, ``check_*`` and ``refuse_*`` give nothing. All raise before
the work begins. As in ``options``, nothing heavy is imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from david_cli.cli.options import ProgressMode
from david_cli.errors import OutputError, UsageError
from david_cli.files import is_there

if TYPE_CHECKING:
    from david_cli.video.wishes import EncodeOptions

STANDARD = Path("-")
"""Standard input or output, where a command takes it."""

_TIME = re.compile(r"(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d+(?:\.\d*)?|\.\d+)", re.ASCII)


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


def parse_sharp_above(only_blurry: bool, sharp_above: float | None) -> float | None:
    """Read ``--only-blurry`` and ``--sharp-above``: a sharpness, or None to deblur all frames."""
    if sharp_above is not None and not only_blurry:
        raise UsageError(f"--sharp-above {sharp_above:g} belongs to --only-blurry: add that")
    if sharp_above is not None and not 0.0 <= sharp_above <= 1.0:
        raise UsageError(f"--sharp-above {sharp_above:g}: give a number from 0 to 1")
    if not only_blurry or sharp_above is not None:
        return sharp_above
    from david_cli.sharpness import SHARP

    return SHARP


def parse_encoder_options(pairs: Iterable[str] | None) -> dict[str, str]:
    """Read ``--encoder-option KEY=VALUE`` ...; the last one of a key wins."""
    options = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"--encoder-option {pair}: write KEY=VALUE, e.g. tune=grain")
        options[key] = value
    return options


def read_encoding(context: typer.Context) -> EncodeOptions:
    """What the encoding options of a command ask for: those named as `EncodeOptions` names them.

    But for ``preset``, which on the command line is david's; the encoder's is ``encoder_preset``.

    Raises:
        UsageError: one that cannot be, or two that contradict each other.
    """
    from david_cli.video.wishes import EncodeOptions

    given = context.params
    wishes = {wish.name: given[wish.name] for wish in fields(EncodeOptions) if wish.name in given}
    wishes["preset"] = given.get("encoder_preset")
    return EncodeOptions(**wishes, options=parse_encoder_options(given.get("encoder_option")))


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
    if output is not None and is_there(output, OutputError) and output.is_dir():
        raise OutputError(f"{output} is a folder; name a file in it with -o")


def refuse_own_input(source: Path, target: Path) -> None:
    """Nothing is ever written over what it is made from, not even with ``--yes``."""
    if is_there(target, OutputError) and target.samefile(source):
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
    if yes or target == STANDARD or not is_there(target, OutputError):
        return yes
    if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
        raise OutputError(f"{target} exists; --yes overwrites it, -o writes elsewhere")
    if not typer.confirm(f"{target} exists. Overwrite it?", err=True):
        raise OutputError(f"{target} exists and was left as it is; -o writes elsewhere")
    return True
