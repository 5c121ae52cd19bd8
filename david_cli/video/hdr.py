"""What a decoded frame carries beside its codes for HDR displays: read, compared, named if lost.

Two pieces are static, one for the whole film: the mastering display (SMPTE ST 2086) and the light
level of the content (CTA-861.3). Encoders write them from their own notation, see `Hdr10`. What
changes from frame to frame belongs to the old pictures and no encoder here can write it again:
Dolby Vision, HDR10+, HDR Vivid. It is listed as lost. (The codes themselves: transfer.py.)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection

from av.video.frame import VideoFrame

from david_cli.video.codecs import Hdr10
from david_cli.video.side_data import side_data

DOLBY_TAGS = ("dvh1", "dvhe", "dva1", "dvav", "dav1")
"""Codec tags of Dolby Vision whose picture a plain decoder need not show right."""

_UNKEPT = {  # side data of a frame that no encoder here writes -> what a person calls it
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "AMBIENT_VIEWING_ENVIRONMENT": "ambient viewing environment",
    "A53_CC": "closed captions inside of the picture's stream",
    "SPHERICAL": "spherical (360 degrees) projection",
    "STEREO3D": "arrangement of stereoscopic views",
    "ICC_PROFILE": "ICC profile",
    "S12M_TIMECODE": "timecode of each frame",
}
_BY_CONTAINER = {"STEREO3D": "stereo_mode"}
"""And what Matroska writes from an entry of the stream's metadata, if the source has that."""
_CHROMA_UNIT, _LIGHT_UNIT = 50000, 10000
"""ST 2086 as HEVC and H.264 code it: chromaticity in 1/50000, luminance in 1/10000 cd/m2."""
_NEAR = (1, 1, 1, 1, 1, 1, 1, 1, 40, 1)
"""What equal metadata may differ by, in those units: AV1 rounds to 1/65536 and 1/256 cd/m2."""


def read_hdr(frame: VideoFrame) -> Hdr10:
    """Mastering display and content light level of a decoded frame, as far as they are complete."""
    found = side_data(frame)
    mastering = mastering_av1 = light = ""
    if (piece := found.get("MASTERING_DISPLAY_METADATA")) is not None:
        numbers = struct.unpack("=22i", piece[:88])  # ten rationals: R, G, B, white, min, max
        pairs = zip(numbers[0:20:2], numbers[1:20:2], strict=True)
        ratios = [above / below if below else 0.0 for above, below in pairs]
        if all(numbers[20:]):  # has chromaticities, has luminances
            mastering = _mastering(ratios, _CHROMA_UNIT, _LIGHT_UNIT)
            mastering_av1 = _mastering(ratios, 1, 1)
    if (piece := found.get("CONTENT_LIGHT_LEVEL")) is not None:
        levels = struct.unpack("=2I", piece[:8])
        light = "{},{}".format(*levels) if any(levels) else ""  # 0 stands for unknown
    return Hdr10(mastering, mastering_av1, light)


def lost_hdr(before: Hdr10, after: Hdr10) -> tuple[str, ...]:
    """Names of the static metadata that did not come back as they were."""
    lost = []
    if before.mastering and not _same_mastering(before.mastering, after.mastering):
        lost.append("HDR mastering display metadata")
    if before.light and before.light != after.light:
        lost.append("HDR content light level")
    return tuple(lost)


def kept_hdr(hdr: Hdr10) -> list[str]:
    """The same for a person who reads what is kept."""
    lines = ["HDR mastering display metadata"] if hdr.mastering else []
    return lines + ([f"HDR content light level {hdr.light} cd/m2"] if hdr.light else [])


def unkept_metadata(
    frame: VideoFrame, codec_tag: str, entries: Collection[str] = ()
) -> tuple[str, ...]:
    """Losses, for a person: what a frame carries and no encoder here can write.

    Args:
        codec_tag: four letters by which the container names the codec; may be empty.
        entries: keys of the stream's metadata, which is copied.
    """
    found = {key for key in side_data(frame) if _BY_CONTAINER.get(key) not in entries}
    names = dict.fromkeys(name for key, name in _UNKEPT.items() if key in found)
    lines = [f"{name}: no encoder here can write it" for name in names]
    if codec_tag in DOLBY_TAGS:
        lines = [line for line in lines if not line.startswith("Dolby")]
        lines.append(
            f"Dolby Vision metadata ({codec_tag}): no encoder here can write it, and colours may "
            "be wrong without it; start from a version in HDR10 or HLG if there is one"
        )
    return tuple(lines)


def _mastering(ratios: list[float], chroma_unit: int, light_unit: int) -> str:
    def number(value: float, unit: int) -> str:
        return str(round(value * unit)) if unit > 1 else f"{value:.6g}"

    red, green, blue, white = (
        f"({number(ratios[i], chroma_unit)},{number(ratios[i + 1], chroma_unit)})"
        for i in (0, 2, 4, 6)
    )
    darkest, brightest = (number(value, light_unit) for value in ratios[8:10])
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"


def _same_mastering(before: str, after: str) -> bool:
    sides = [[int(number) for number in re.findall(r"\d+", text)] for text in (before, after)]
    return len(sides[1]) == len(_NEAR) and all(
        abs(a - b) <= near for a, b, near in zip(*sides, _NEAR, strict=True)
    )
