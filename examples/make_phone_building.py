"""Make the example clip and its paired frames from the sharp original.

    python examples/make_phone_building.py phone_building_1080p30.mp4 examples/

The original (androidx/media, Apache-2.0: see LICENCE-phone_building.txt) is a sharp 1920x1080 clip
in HLG, held upright. It is reduced to 8 bits and 360x640, interpolated eight times in time and
averaged over 11 sub-frames, which is what a longer exposure would have recorded; the reduced
original is the truth. Sound is copied.
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from david_cli.synthesis.footage import expose_footage

FRAMES = 54
CLIP_LEVEL, PAIR_LEVELS = 11, (3, 7, 11, 15)
CLIP_SIZE, PAIR_SIZE = (640, 360), (320, 180)  # before the quarter turn
FIRST_PAIR, PAIRS = 20, 9


def main(original: Path, folder: Path) -> None:
    make_clip(original, folder / "phone_building.mp4")
    make_pairs(original, folder / "pairs" / "phone_building")


def make_clip(original: Path, target: Path) -> None:
    """The blurry clip, with the times and the sound of the original."""
    frames = reduced(original, CLIP_SIZE, FRAMES)
    times = [(frame.pts, frame.time_base, frame.duration) for frame in frames]
    with av.open(str(original)) as source, av.open(str(target), "w") as output:
        video = output.add_stream("libx264", rate=source.streams.video[0].average_rate)
        video.height, video.width = CLIP_SIZE
        video.pix_fmt, video.options = "yuv420p", {"crf": "14", "preset": "veryslow"}
        video.codec_context.time_base = times[0][1]
        video.codec_context.color_range = 1
        video.codec_context.colorspace = 1
        video.codec_context.color_primaries = 1
        video.codec_context.color_trc = 1
        sound = source.streams.audio[0] if source.streams.audio else None
        copy = output.add_stream_from_template(sound) if sound else None
        first, last = None, None
        for exposure in expose_footage(frames, [CLIP_LEVEL]):
            picture = upright(exposure.blurry[CLIP_LEVEL])
            pts, base, duration = times[exposure.index]
            first = pts if first is None else first
            last = pts + duration
            picture.pts, picture.time_base = pts - first, base
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        if sound and copy and first is not None and last is not None:
            begin, end = (t * times[0][1] for t in (first, last))
            for packet in source.demux(sound):
                if packet.pts is not None and begin <= packet.pts * packet.time_base < end:
                    shift = int(begin / packet.time_base)
                    packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                    packet.stream = copy
                    output.mux(packet)


def make_pairs(original: Path, folder: Path) -> None:
    """A few frames at every level with their truth, as `david eval` reads them."""
    frames = reduced(original, PAIR_SIZE, FIRST_PAIR + PAIRS + 4, first=FIRST_PAIR - 4)
    chosen = list(expose_footage(frames, PAIR_LEVELS))[2 : 2 + PAIRS]
    for number, exposure in enumerate(chosen, 1):
        save(exposure.sharp, folder / "sharp" / f"{number:04d}.webp")
        for level, picture in exposure.blurry.items():
            save(picture, folder / f"blur{level:02d}" / f"{number:04d}.webp")


def reduced(path: Path, size: tuple[int, int], count: int, first: int = 0) -> list[av.VideoFrame]:
    with av.open(str(path)) as source:
        frames = []
        for i, frame in enumerate(source.decode(video=0)):
            if first <= i < count:
                small = frame.reformat(
                    *size, "yuv444p", dst_colorspace=Colorspace.ITU709, interpolation="AREA"
                )
                small.duration = frame.duration
                frames.append(small)
        return frames


def upright(planes: np.ndarray) -> av.VideoFrame:
    turned = np.ascontiguousarray(np.rot90(planes, -1, axes=(1, 2)))
    frame = av.VideoFrame.from_ndarray(turned, format="yuv444p")
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    return frame


def save(planes: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = upright(planes).reformat(format="rgb24").to_ndarray()
    Image.fromarray(picture).save(path, lossless=True, quality=100, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
