"""The codecs david writes, their near-transparent defaults, and what a user may change in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from av.codec.codec import Codec

from david_cli.errors import OutputError, UsageError
from david_cli.video.frame import ColorSpec
from david_cli.video.hardware import HARDWARE

SOFTWARE, HARDWARE_ONLY, AUTO = "software", "hardware", "auto"
"""Kinds of encoders that `EncodeOptions.encoder` takes beside their names."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """What a user may ask of the encoding; None and empty mean david's choice.

    Raises:
        UsageError: wishes that contradict each other, or one that is unknown.
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
        for clash in (_unknown(self), _not_lossless(self), _no_match(self)):
            if clash:
                raise UsageError(clash)

    @property
    def named_codec(self) -> str | None:
        """The codec that was asked for, by its own name or by that of an encoder."""
        return self.codec or _ENCODERS.get(self.encoder)

    @property
    def coded(self) -> bool:
        """Whether anything was asked for that only a codec can give."""
        asked = (self.codec, self.preset, self.options, self.match_source, self.encoder != SOFTWARE)
        return self.crf is not None or any(asked)


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
_ENCODERS = {
    **{name: codec for codec, choice in CODECS.items() for name in choice.encoders},
    **{name: encoder.codec for name, encoder in HARDWARE.items()},
}
"""Every encoder that david writes with, and its codec."""
_RATE_CONTROL = {"qp", "b", "ab", "global_quality", "lossless"}
_QUALITY = {"crf", "cq", "rc", "qp_i", "qp_p", "global_quality"}
"""Defaults that would overrule another way to say the quality."""
OTHER_QUALITY = (_RATE_CONTROL | _QUALITY) - {"b"}
"""Options that overrule a bit rate."""
_LOSSLESS = {
    "libx264": {"qp": "0"},
    "libx264rgb": {"qp": "0"},
    "libx265": {"x265-params": "lossless=1:ctu=32"},  # of 64, it errs now and then (x265 4.2)
    "libsvtav1": {"svtav1-params": "lossless=1"},
    "libvpx-vp9": {"lossless": "1"},
    "ffv1": {},
}
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


def default_options(
    codec: str, encoder: str, pix_fmt: str, hdr: Hdr10, *, lossless: bool = False
) -> dict[str, str]:
    """The options david gives an encoder by itself."""
    options = dict(HARDWARE[encoder].options if encoder in HARDWARE else CODECS[codec].options)
    if codec == "dnxhr":
        options["profile"] = _DNXHR_PROFILES.get(pix_fmt, "dnxhr_444")
    quiet = ["log-level=none"] if encoder == "libx265" else []  # it writes to stderr by itself
    if encoder in _HDR_PARAMETERS:
        names = _HDR_PARAMETERS[encoder]
        mastering = hdr.mastering_av1 if encoder == "libsvtav1" else hdr.mastering
        parts = [*quiet, f"{names.mastering}={mastering}"] if mastering else quiet
        parts += [f"{names.light}={hdr.light}"] if hdr.light else []
        options |= {names.option: ":".join(parts)} if parts else {}
    if lossless:
        options.pop("crf", None)
        options = merge_options(options, _LOSSLESS[encoder])
    return options


def asked_options(codec: str, encoder: str, wanted: EncodeOptions) -> dict[str, str]:
    """The user's options under the encoder's names.

    Raises:
        OutputError: the encoder has no such option.
    """
    known = _option_names(encoder)
    asked: dict[str, str] = {}
    hardware = HARDWARE.get(encoder)
    if wanted.crf is not None:
        quality = hardware.quality if hardware else ("crf",)
        if not quality or not known.issuperset(quality):
            name = encoder if hardware else codec
            raise OutputError(f"{name} has no --crf; leave it out or use --codec h264")
        asked |= dict.fromkeys(quality, f"{wanted.crf:g}")
    if wanted.preset is not None:
        option = hardware.preset if hardware else CODECS[codec].preset
        if option is None:
            name = encoder if hardware else codec
            raise OutputError(f"{name} has no --encoder-preset; leave it out or use --codec h264")
        asked[option] = wanted.preset
    for key in wanted.options:
        if key not in known:
            raise OutputError(f"{encoder} has no option {key!r}; {nearest(key, known)}")
    return asked | wanted.options


def merge_options(defaults: dict[str, str], asked: dict[str, str]) -> dict[str, str]:
    """The user's options win; lists of ``key=value`` are joined, the user's last.

    A quality set in another way than by crf takes the default one away, which would overrule it.
    """
    merged = defaults | asked
    if "crf" not in asked and _RATE_CONTROL & asked.keys():
        merged = {k: v for k, v in merged.items() if k in asked or k not in _QUALITY}
    if "global_quality" not in merged and "flags" not in asked:
        merged.pop("flags", None)  # +qscale, by which VideoToolbox takes nothing but a quality
    for key in defaults.keys() & asked.keys():
        if key.endswith("-params"):
            merged[key] = f"{defaults[key]}:{asked[key]}"
    return merged


def nearest(name: str, known: Iterable[str]) -> str:
    """``try a, b, c``: the known names most like a wrong one."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) or names[:8]
    return f"try {', '.join(close)}"


def _unknown(wanted: EncodeOptions) -> str | None:
    """A codec or encoder that does not exist, or two that are different."""
    if wanted.codec is not None and wanted.codec not in CODECS:
        return f"unknown codec {wanted.codec!r}; choose one of {', '.join(CODECS)}"
    if wanted.encoder in (SOFTWARE, HARDWARE_ONLY, AUTO):
        return None
    if wanted.encoder not in _ENCODERS:
        known = nearest(wanted.encoder, (SOFTWARE, HARDWARE_ONLY, AUTO, *_ENCODERS))
        return f"unknown encoder {wanted.encoder!r}; {known}"
    if wanted.codec not in (None, _ENCODERS[wanted.encoder]):
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
    for key in sorted(wanted.options.keys() & (_RATE_CONTROL | _QUALITY)):
        return f"--lossless and --encoder-option {key} contradict each other; leave out one of them"
    able = [codec for codec, choice in CODECS.items() if choice.encoders[0] in _LOSSLESS]
    if wanted.codec is not None and wanted.codec not in able:
        return f"--lossless: {wanted.codec} always loses a little; use --codec {_either(able)}"
    if wanted.encoder != SOFTWARE and wanted.encoder not in _LOSSLESS:
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
        f"--encoder {wanted.encoder}": _ENCODERS.get(wanted.encoder),
    }
    for option, value in given.items():
        if value is not None:
            return f"--match-source and {option} contradict each other; leave out one of them"
    return None


def _either(names: list[str]) -> str:
    """``a, b or c``."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _option_names(encoder: str) -> set[str]:
    supported = Codec(encoder, "w").create("video").supported_options
    return {option.name for option in (*supported.generic, *supported.private)}
