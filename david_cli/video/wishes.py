"""What a user may ask of the encoding, and whether it can be."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from av.codec.codec import Codec

from david_cli.errors import UsageError
from david_cli.video.codecs import CODECS, ENCODERS, LOSSLESS, QUALITY, RATE_CONTROL
from david_cli.video.hardware import HARDWARE

SOFTWARE, HARDWARE_ONLY, AUTO = "software", "hardware", "auto"
"""Kinds of encoders that `EncodeOptions.encoder` takes beside their names."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """What a user may ask of the encoding; None and empty mean david's choice.

    Raises:
        UsageError: wishes that contradict each other, or one that no encoder could fulfil.
    """

    codec: str | None = None
    """One of `CODECS`."""
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    """Options handed to FFmpeg's encoder."""
    format: str | None = None
    """Of a video to standard output: ``y4m``, ``nut``, ``mkv`` or ``raw``."""
    encoder: str = SOFTWARE
    """``software``, ``hardware``, ``auto`` (hardware where it works, else software), or FFmpeg's
    name of one of david's encoders."""
    lossless: bool = False
    """Every code of the picture as it was sent to the encoder."""
    match_source: bool = False
    """The source's codec, profile, key frames and bit rate; see match.py."""

    def __post_init__(self) -> None:
        for clash in (_empty(self), _unknown(self), _not_lossless(self), _no_match(self)):
            if clash:
                raise UsageError(clash)

    @property
    def named_codec(self) -> str | None:
        """The codec that was asked for, by its own name or by that of an encoder."""
        return self.codec or ENCODERS.get(self.encoder)

    @property
    def on_command_line(self) -> str:
        """What was asked of the encoder itself, as options of david, for messages."""
        words = [] if self.crf is None else [f"--crf {self.crf:g}"]
        words += [] if self.preset is None else [f"--encoder-preset {self.preset}"]
        words += [f"--encoder-option {key}={value}" for key, value in self.options.items()]
        return " ".join(words)

    @property
    def coded(self) -> bool:
        """Whether anything was asked for that only a codec can give."""
        asked = (self.codec, self.preset, self.options, self.match_source, self.encoder != SOFTWARE)
        return self.crf is not None or any(asked)


def asked_options(codec: str, encoder: str, wanted: EncodeOptions) -> dict[str, str]:
    """The user's options under the encoder's names.

    Raises:
        UsageError: the encoder has no such option, or takes no such value.
    """
    known = _option_names(encoder)
    asked = _asked_quality(codec, encoder, wanted.crf, known) | _asked_speed(codec, encoder, wanted)
    for key in wanted.options:
        if key not in known:
            lack = f"{encoder} has no option {key!r}; {nearest(key, known)}"
            raise UsageError(f"--encoder-option {key}={wanted.options[key]}: {lack}")
    return asked | wanted.options


def _asked_quality(codec: str, encoder: str, crf: float | None, known: set[str]) -> dict[str, str]:
    if crf is None:
        return {}
    hardware, worst = HARDWARE.get(encoder), CODECS[codec].worst
    quality = hardware.quality if hardware else ("crf",)
    if not quality or not known.issuperset(quality):
        name = encoder if hardware else codec
        raise UsageError(f"{name} has no --crf; leave it out or use --codec h264")
    if not hardware and crf > worst:  # x264 would take 51 without a word
        raise UsageError(f"--crf {crf:g}: {encoder} takes 0, the best, to {worst}")
    return dict.fromkeys(quality, f"{crf:g}")


def _asked_speed(codec: str, encoder: str, wanted: EncodeOptions) -> dict[str, str]:
    speed, hardware = wanted.preset, HARDWARE.get(encoder)
    if speed is None:
        return {}
    option = hardware.preset if hardware else CODECS[codec].preset
    if option is None:
        name = encoder if hardware else codec
        raise UsageError(f"{name} has no --encoder-preset; leave it out or use --codec h264")
    names = () if hardware else CODECS[codec].speeds
    if names and not (speed in names or speed.isdigit()):  # x264 would complain for itself
        raise UsageError(f"--encoder-preset {speed}: {encoder} takes {_either(names)}")
    return {option: speed}


def nearest(name: str, known: Iterable[str]) -> str:
    """``try a, b, c``: the known names most like a wrong one."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) or names[:8]
    return f"try {', '.join(close)}"


def _empty(wanted: EncodeOptions) -> str | None:
    """A wish that says nothing; scripts make such of variables that are not set."""
    if wanted.crf is not None and not 0 <= wanted.crf < math.inf:
        return f"--crf {wanted.crf:g}: give a number from 0 on, such as 18; lower is better"
    named = {
        "--codec": wanted.codec,
        "--encoder": wanted.encoder,
        "--encoder-preset": wanted.preset,
        "--pix-fmt": wanted.pix_fmt,
    }
    for option, value in named.items():
        if value == "":
            return f"{option}: nothing is given; give a value, or leave the option out"
    return None


def _unknown(wanted: EncodeOptions) -> str | None:
    """A codec or encoder that does not exist, or two that are different."""
    if wanted.codec is not None and wanted.codec not in CODECS:
        return f"--codec: unknown codec {wanted.codec!r}; choose one of {', '.join(CODECS)}"
    if wanted.encoder in (SOFTWARE, HARDWARE_ONLY, AUTO):
        return None
    if wanted.encoder not in ENCODERS:
        known = nearest(wanted.encoder, (SOFTWARE, HARDWARE_ONLY, AUTO, *ENCODERS))
        return f"--encoder: unknown encoder {wanted.encoder!r}; {known}"
    if wanted.codec not in (None, ENCODERS[wanted.encoder]):
        return f"--encoder {wanted.encoder} does not write {wanted.codec}; leave out one of them"
    return None


def _not_lossless(wanted: EncodeOptions) -> str | None:
    """Why `--lossless` cannot be with the other wishes."""
    if not wanted.lossless:
        return None
    if wanted.match_source:
        return "--lossless and --match-source contradict each other; leave out one of them"
    if wanted.crf is not None:
        return "--lossless and --crf contradict each other; leave out one of them"
    for key in sorted(wanted.options.keys() & (RATE_CONTROL | QUALITY)):
        return f"--lossless and --encoder-option {key} contradict each other; leave out one of them"
    able = [codec for codec, choice in CODECS.items() if choice.encoders[0] in LOSSLESS]
    if wanted.codec is not None and wanted.codec not in able:
        return f"--lossless: {wanted.codec} always loses a little; use --codec {_either(able)}"
    if wanted.encoder != SOFTWARE and wanted.encoder not in LOSSLESS:
        return f"--lossless is for encoders in software; leave out --encoder {wanted.encoder}"
    return None


def _no_match(wanted: EncodeOptions) -> str | None:
    """Why `--match-source` cannot be with the other wishes."""
    if not wanted.match_source:
        return None
    given = {
        "--codec": wanted.codec,
        "--crf": wanted.crf,
        "--pix-fmt": wanted.pix_fmt,
        f"--encoder {wanted.encoder}": ENCODERS.get(wanted.encoder),
    }
    for option, value in given.items():
        if value is not None:
            return f"--match-source and {option} contradict each other; leave out one of them"
    return None


def _either(names: Sequence[str]) -> str:
    """``a, b or c``."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _option_names(encoder: str) -> set[str]:
    supported = Codec(encoder, "w").create("video").supported_options
    return {option.name for option in (*supported.generic, *supported.private)}
