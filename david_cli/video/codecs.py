"""The codecs david writes, and their near-transparent defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from david_cli.video.frame import ColorSpec
from david_cli.video.hardware import HARDWARE


@dataclass(frozen=True)
class CodecChoice:
    """A codec david writes."""

    encoders: tuple[str, ...]
    """FFmpeg's encoders for it, in the order to try."""
    options: dict[str, str]
    """Near-transparent defaults."""
    preset: str | None = None
    """The option that trades speed for size; None where there is none."""
    speeds: tuple[str, ...] = ()
    """Names that this option takes beside their numbers; empty where the encoder says it well."""
    worst: int = 0
    """The largest crf, if there is any."""
    intermediate: bool = False
    """A mastering codec, whose 4:2:2 is preferred to its 4:4:4 for a 4:2:0 source."""


_SPEEDS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
CODECS = {
    "h264": CodecChoice(
        ("libx264", "libx264rgb"), {"crf": "16", "preset": "medium"}, "preset", _SPEEDS, worst=51
    ),
    "hevc": CodecChoice(
        ("libx265",), {"crf": "18", "preset": "medium"}, "preset", _SPEEDS, worst=51
    ),
    "av1": CodecChoice(("libsvtav1",), {"crf": "22", "preset": "6"}, "preset", worst=63),
    "vp9": CodecChoice(
        ("libvpx-vp9",),
        {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "3", "row-mt": "1"},
        "cpu-used",
        worst=63,
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
ENCODERS = {
    **{name: codec for codec, choice in CODECS.items() for name in choice.encoders},
    **{name: encoder.codec for name, encoder in HARDWARE.items()},
}
"""Every encoder that david writes with, and its codec."""
RATE_CONTROL = {"qp", "b", "ab", "global_quality", "lossless"}
QUALITY = {"crf", "cq", "rc", "qp_i", "qp_p", "global_quality"}
"""Defaults that would overrule another way to say the quality."""
OTHER_QUALITY = (RATE_CONTROL | QUALITY) - {"b"}
"""Options that overrule a bit rate."""
LOSSLESS = {
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
        options = merge_options(options, LOSSLESS[encoder])
    return options


def merge_options(defaults: dict[str, str], asked: dict[str, str]) -> dict[str, str]:
    """The user's options win; lists of ``key=value`` are joined, the user's last.

    A quality set in another way than by crf takes the default one away, which would overrule it.
    """
    merged = defaults | asked
    if "crf" not in asked and RATE_CONTROL & asked.keys():
        merged = {k: v for k, v in merged.items() if k in asked or k not in QUALITY}
    if "global_quality" not in merged and "flags" not in asked:
        merged.pop("flags", None)  # +qscale, by which VideoToolbox takes nothing but a quality
    for key in defaults.keys() & asked.keys():
        if key.endswith("-params"):
            merged[key] = f"{defaults[key]}:{asked[key]}"
    return merged
