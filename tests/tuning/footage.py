"""Sharp footage that takes moments to make and to learn from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_panning(path: Path, frames: int) -> None:
    """At 240 frames a second a picture moves by a pixel a frame: nothing has to be interpolated."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (6, 30, 3), dtype=np.uint8)
    scene = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=Fraction(240))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv444p"
        for n in range(frames):
            view = np.ascontiguousarray(scene[:, n % 170 : n % 170 + 64])
            container.mux(video.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(video.encode(None))
