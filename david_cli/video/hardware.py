"""Encoders in graphics chips: which there may be for a codec, and how they reach near transparency.

Whether one works on a machine is never concluded from this list, only tried; see probe.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HardwareEncoder:
    """An encoder that needs a chip and its driver."""

    codec: str
    options: dict[str, str]
    """Near-transparent defaults: of constant quality, as in software."""
    quality: tuple[str, ...]
    """The options that take the number of ``--crf``: lower is better. Empty where none does."""
    preset: str | None
    """The option that trades speed for size; None where there is none."""


def _nvenc(codec: str, quality: str) -> HardwareEncoder:
    options = {"preset": "p5", "tune": "hq", "rc": "vbr", "cq": quality, "b": "0"}
    return HardwareEncoder(codec, options, ("cq",), "preset")


def _qsv(codec: str, quality: str) -> HardwareEncoder:
    options = {"preset": "slow", "global_quality": quality, "b": "0"}
    return HardwareEncoder(codec, options, ("global_quality",), "preset")


def _amf(codec: str, quality: str) -> HardwareEncoder:
    options = {"quality": "quality", "rc": "cqp", "qp_i": quality, "qp_p": quality}
    return HardwareEncoder(codec, options, ("qp_i", "qp_p"), "quality")


def _videotoolbox(codec: str) -> HardwareEncoder:
    options = {"flags": "+qscale", "global_quality": str(65 * 118)}  # 65 %, in FFmpeg's lambdas
    return HardwareEncoder(codec, options, (), None)


HARDWARE = {  # for each codec in the order to try
    "h264_nvenc": _nvenc("h264", "17"),
    "h264_qsv": _qsv("h264", "17"),
    "h264_amf": _amf("h264", "17"),
    "h264_videotoolbox": _videotoolbox("h264"),
    "hevc_nvenc": _nvenc("hevc", "19"),
    "hevc_qsv": _qsv("hevc", "19"),
    "hevc_amf": _amf("hevc", "19"),
    "hevc_videotoolbox": _videotoolbox("hevc"),
    "av1_nvenc": _nvenc("av1", "24"),
    "av1_qsv": _qsv("av1", "24"),
    "av1_amf": _amf("av1", "80"),  # of 255
}


def hardware_encoders(codec: str) -> tuple[str, ...]:
    """FFmpeg's hardware encoders for a codec, in the order to try; empty where there are none."""
    return tuple(name for name, encoder in HARDWARE.items() if encoder.codec == codec)
