"""What FFmpeg attaches to a decoded picture beside its planes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import cast

from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

from david_cli.video.frame import AS_STORED, Turn


def side_data(frame: VideoFrame) -> dict[str, bytes]:
    """All of it, by name; PyAV's stub takes the collection for a piece."""
    pieces = cast("Iterable[SideData]", frame.side_data)
    return {piece.type.name: bytes(piece) for piece in pieces}


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The nine integers that turn and mirror a picture, where it has them."""
    found = side_data(frame).get("DISPLAYMATRIX")
    return struct.unpack("=9i", found[:36]) if found is not None else None


def turn(matrix: tuple[int, ...] | None) -> Turn:
    """Rotation and mirroring of a display matrix, without its shift (players ignore that)."""
    if matrix is None:
        return AS_STORED
    a, b, c, d = (round(matrix[place] / (1 << 16)) for place in (0, 1, 3, 4))
    return a, b, c, d
