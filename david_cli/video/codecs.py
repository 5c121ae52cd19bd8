"""The codecs david writes, their near-transparent defaults, and what a user may change in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from av.codec.codec import Codec

from david_cli.errors import OutputError
from david_cli.video.frame import ColorSpec


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """What a user may ask of the encoding; None and empty mean david's choice."""

    codec: str | None = None
    """One of `CODECS`."""
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    """Options handed to FFmpeg's encoder."""
    format: str | None = None
    """Of a video to standard output: ``y4m``, ``nut``, ``mkv`` or ``raw``."""


@dataclass(frozen=True)
class CodecChoice:
    """A codec david writes."""

    encoders: tuple[str, ...]
    """FFmpeg's encoders for it, in the order to try."""
    options: dict[str, str]
    """Near-transparent defaults."""
    preset: str | None = None
    """The option that trades speed for size; None where there is none."""
    intermediate: bool = False
    """A mastering codec, whose 4:2:2 is preferred to its 4:4:4 for a 4:2:0 source."""


CODECS = {
    "h264": CodecChoice(("libx264", "libx264rgb"), {"crf": "16", "preset": "medium"}, "preset"),
    "hevc": CodecChoice(("libx265",), {"crf": "18", "preset": "medium"}, "preset"),
    "av1": CodecChoice(("libsvtav1",), {"crf": "22", "preset": "6"}, "preset"),
    "vp9": CodecChoice(
        ("libvpx-vp9",),
        {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "3", "row-mt": "1"},
        "cpu-used",
    ),
    "prores": CodecChoice(("prores_ks",), {"vendor": "apl0"}, intermediate=True),
    "dnxhr": CodecChoice(("dnxhd",), {}, intermediate=True),
    "ffv1": CodecChoice(("ffv1",), {"level": "3", "slicecrc": "1"}),
}


class _HdrParameters(NamedTuple):
    """Where an encoder takes static HDR metadata."""

    option: str
    mastering: str
    light: str


_HDR_PARAMETERS = {
    "libx264": _HdrParameters("x264-params", "mastering-display", "cll"),
    "libx265": _HdrParameters("x265-params", "hdr10=1:master-display", "max-cll"),
    "libsvtav1": _HdrParameters("svtav1-params", "mastering-display", "content-light"),
}
_RATE_CONTROL = {"qp", "b", "ab", "global_quality", "lossless"}
_DNXHR_PROFILES = {"yuv422p": "dnxhr_hq", "yuv422p10le": "dnxhr_hqx"}


@dataclass(frozen=True)
class Encoding:
    """An encoder that was seen to work for a source."""

    codec: str
    """One of `CODECS`."""
    encoder: str
    """FFmpeg's name."""
    pix_fmt: str
    options: dict[str, str]
    color: ColorSpec
    """Tags of the output."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hdr10:
    """Static HDR metadata in the encoders' own notation; empty where the source has none."""

    mastering: str = ""
    """``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)``, x265: integers in 1/50000 and 1/10000 cd/m2."""
    mastering_av1: str = ""
    """The same for SVT-AV1: decimal numbers."""
    light: str = ""
    """``max-cll,max-fall`` in cd/m2."""


def default_options(codec: str, encoder: str, pix_fmt: str, hdr: Hdr10) -> dict[str, str]:
    """The options david gives an encoder by itself."""
    options = dict(CODECS[codec].options)
    if codec == "dnxhr":
        options["profile"] = _DNXHR_PROFILES.get(pix_fmt, "dnxhr_444")
    quiet = ["log-level=none"] if encoder == "libx265" else []  # it writes to stderr by itself
    if encoder in _HDR_PARAMETERS:
        names = _HDR_PARAMETERS[encoder]
        mastering = hdr.mastering_av1 if encoder == "libsvtav1" else hdr.mastering
        parts = [*quiet, f"{names.mastering}={mastering}"] if mastering else quiet
        parts += [f"{names.light}={hdr.light}"] if hdr.light else []
        options |= {names.option: ":".join(parts)} if parts else {}
    return options


def asked_options(codec: str, encoder: str, wanted: EncodeOptions) -> dict[str, str]:
    """The user's options under the encoder's names.

    Raises:
        OutputError: the encoder has no such option.
    """
    known = _option_names(encoder)
    asked: dict[str, str] = {}
    if wanted.crf is not None:
        if "crf" not in known:
            raise OutputError(f"{codec} has no --crf; leave it out or use --codec h264")
        asked["crf"] = f"{wanted.crf:g}"
    if wanted.preset is not None:
        option = CODECS[codec].preset
        if option is None:
            raise OutputError(f"{codec} has no --preset; leave it out or use --codec h264")
        asked[option] = wanted.preset
    for key in wanted.options:
        if key not in known:
            raise OutputError(f"{encoder} has no option {key!r}; {nearest(key, known)}")
    return asked | wanted.options


def merge_options(defaults: dict[str, str], asked: dict[str, str]) -> dict[str, str]:
    """The user's options win; lists of ``key=value`` are joined, the user's last.

    A quality set in another way than by crf takes the default crf away, which would overrule it.
    """
    merged = defaults | asked
    if "crf" not in asked and _RATE_CONTROL & asked.keys():
        merged.pop("crf", None)
    for key in defaults.keys() & asked.keys():
        if key.endswith("-params"):
            merged[key] = f"{defaults[key]}:{asked[key]}"
    return merged


def nearest(name: str, known: Iterable[str]) -> str:
    """``try a, b, c``: the known names most like a wrong one."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) or names[:8]
    return f"try {', '.join(close)}"


def _option_names(encoder: str) -> set[str]:
    supported = Codec(encoder, "w").create("video").supported_options
    return {option.name for option in (*supported.generic, *supported.private)}
