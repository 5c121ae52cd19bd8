"""Photographs out of a shaky clip: deblur it and save the sharpest frame of every few seconds.

    python examples/best_stills.py holiday.mp4 --folder stills/ --every 2

Shows `deblur_frames`, which turns any iterable of pictures into an iterable of sharp ones: here
pictures that PyAV decodes, but a camera or a renderer would do as well. It is lazy, so memory stays
the same however long the clip is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import groupby, tee
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from david_cli import deblur_frames, load_deblurrer

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""


def main() -> None:
    options = parse_arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    shots, again = tee(decode(options.clip))  # the network looks three pictures ahead, no further
    sharp = deblur_frames((picture for _, picture in shots), load_deblurrer(options.model))
    timed = zip((time for time, _ in again), sharp, strict=True)
    for _, few_seconds in groupby(timed, key=lambda shot: int(shot[0] / options.every)):
        time, picture = max(few_seconds, key=lambda shot: sharpness(shot[1]))
        target = options.folder / f"{options.clip.stem}-{time:08.3f}.png"
        Image.fromarray(picture).save(target)
        print(f"wrote {target}")


def decode(clip: Path) -> Iterator[tuple[float, Picture]]:
    """The pictures of a clip, upright, each with the second at which it is shown."""
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            picture = frame.to_ndarray(format="rgb24")
            yield frame.time or 0.0, np.ascontiguousarray(np.rot90(picture, frame.rotation // 90))


def sharpness(picture: Picture) -> float:
    """Mean squared difference of neighbouring pixels: blur makes it small."""
    green = picture[..., 1].astype(np.float32)
    return float(np.diff(green, axis=0).var() + np.diff(green, axis=1).var())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Save the sharpest frames of a clip, deblurred.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("stills"), help="where to put them")
    parser.add_argument("--every", type=float, default=2.0, help="seconds; one picture for each")
    parser.add_argument("--model", default="auto", help="david, david-lite or a .safetensors file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
