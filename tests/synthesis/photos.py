"""Small pictures and videos to make data from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image


def write_photos(folder: Path) -> list[Path]:
    """Three pictures of random patches, in three formats."""
    rng = np.random.default_rng(0)
    paths = [folder / name for name in ("a.jpg", "b.png", "c.webp")]
    for path in paths:
        coarse = rng.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(coarse).resize((240, 200)).save(path)
    return paths


def scenery(seed: int, height: int = 48, width: int = 64, room: int = 200) -> np.ndarray:
    """A wide picture (height, width + room, 3) of blocks of 4 pixels, smoothed a little."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4, (width + room) // 4, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width + room, height), Image.Resampling.BOX))


def pan(picture: np.ndarray, count: int, width: int = 64, speed: int = 1) -> list[np.ndarray]:
    """``count`` frames (H, width, 3) of a pan by ``speed`` pixels a frame."""
    return [picture[:, i * speed : i * speed + width] for i in range(count)]


def write_video(path: Path, frames: Sequence[np.ndarray], rate: int = 240) -> Path:
    """Lossless RGB in AVI."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("utvideo", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "gbrp"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)
