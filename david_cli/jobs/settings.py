"""How the clips of a batch are deblurred."""

from __future__ import annotations

from dataclasses import dataclass, field

from david_cli.network.shipped import DEFAULT_OVERLAP
from david_cli.video.deinterlace import Deinterlace
from david_cli.video.streams import EncodeOptions


@dataclass(frozen=True)
class Settings:
    """How all clips of a batch are deblurred; what decides about the pixels of the results."""

    model: str = "auto"
    precision: str = "auto"
    tile: str | int = "auto"
    overlap: int = DEFAULT_OVERLAP
    strength: float = 1.0
    deinterlace: Deinterlace = "auto"
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    sharp_above: float | None = None
    """Sharpness from which on frames are left alone; None deblurs all."""
    engine: str = "auto"
