"""A self-test of the whole way: a clip whose truth is known is written, deblurred and compared.

The clip is a picture of rectangles that drifts by a pixel between sub-frames; every frame is the
mean of seven of them, as an open shutter takes it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from david_cli.diagnosis.finding import Finding
from david_cli.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from david_cli.inference.deblurrer import Deblurrer

    Pictures = NDArray[np.uint8]
    """(N, H, W) codes of luma."""

FRAMES, HEIGHT, WIDTH, RATE = 12, 120, 160, 25
LEVEL, STRIDE = 7, 8
"""Sub-frames of an exposure, and from one frame to the next: footage of 200 frames a second."""
BLACK, WHITE, GREY = 16, 235, 128
RECTANGLES, SOFTENED = 220, 4
LEAST_GAIN = 0.5
"""dB over the blurry frames; the first shipped models gain 1.3 (david-lite) and 1.1 (david)."""
NOT_VERIFIED = 8
"""The documented exit code of a result that is not what its source was."""


@dataclass(frozen=True)
class Outcome:
    """What came of the clip."""

    frames: int
    times_kept: bool
    exact: bool
    """Whether strength 0 gave every code back."""
    gain: float
    """PSNR of luma over the blurry frames, in dB."""
    seconds: float
    """For reading, network and writing."""


def check_deblurring() -> Iterator[Finding]:
    """Deblur the clip with the model and on the device that david would choose."""
    from david_cli.inference.loading import load_deblurrer

    deblurrer = load_deblurrer()
    outcome = try_deblurring(deblurrer)
    yield judge(outcome, f"{deblurrer.name} on {deblurrer.device}, {deblurrer.precision}")


def try_deblurring(deblurrer: Deblurrer) -> Outcome:
    """Write the clip, deblur it, and compare."""
    import numpy as np

    from david_cli.inference.pipeline import deblur_video
    from david_cli.video.streams import EncodeOptions

    sharp, blurry = make_clip()
    with tempfile.TemporaryDirectory(prefix="david-doctor-") as name:
        source, result = Path(name) / "clip.y4m", Path(name) / "sharp.mkv"
        unchanged = Path(name) / "unchanged.mkv"
        write_y4m(source, blurry)
        lossless = EncodeOptions(codec="ffv1")
        started = time.perf_counter()
        deblur_video(source, result, deblurrer, encode=lossless)
        seconds = time.perf_counter() - started
        deblur_video(source, unchanged, deblurrer, encode=lossless, strength=0.0)
        luma, _, times = read_clip(result)
        same, chroma, _ = read_clip(unchanged)
    whole = luma.shape == sharp.shape
    return Outcome(
        frames=len(luma),
        times_kept=times == [Fraction(n, RATE) for n in range(FRAMES)],
        exact=np.array_equal(same, blurry) and chroma == {GREY},
        gain=_psnr(luma, sharp) - _psnr(blurry, sharp) if whole else float("-inf"),
        seconds=seconds,
    )


def judge(outcome: Outcome, setup: str) -> Finding:
    """What the outcome means."""
    facts = dict(vars(outcome), setup=setup)
    wrong = [
        text
        for text, is_wrong in {
            f"{outcome.frames} frames came back of {FRAMES}": outcome.frames != FRAMES,
            "frames came back at other times": not outcome.times_kept,
            "strength 0 changed the picture": not outcome.exact,
        }.items()
        if is_wrong
    ]
    if wrong:
        advice = "this is a bug or a broken library: please report it with all of this page"
        return Finding("self-test", "problem", "; ".join(wrong), advice, NOT_VERIFIED, facts)
    what = f"{setup}: {FRAMES} frames in {outcome.seconds:.1f} s, {outcome.gain:+.2f} dB"
    if outcome.gain < LEAST_GAIN:
        advice = (
            "the network does not sharpen: look at the weights above; on a GPU try "
            "--precision fp32 or --device cpu"
        )
        return Finding("self-test", "problem", what, advice, ModelError.exit_code, facts)
    return Finding(
        "self-test", "ok", f"{what}; frames and times kept, strength 0 exact", facts=facts
    )


def make_clip() -> tuple[Pictures, Pictures]:
    """The truth and the blurry frames."""
    import numpy as np

    scene = _scene(HEIGHT, WIDTH + FRAMES * STRIDE + LEVEL)
    sharp, blurry = [], []
    for n in range(FRAMES):
        views = [scene[:, n * STRIDE + i : n * STRIDE + i + WIDTH] for i in range(LEVEL)]
        sharp.append(views[LEVEL // 2])
        blurry.append(np.rint(np.mean(views, axis=0)).astype(np.uint8))
    return np.stack(sharp), np.stack(blurry)


def write_y4m(path: Path, pictures: Pictures) -> None:
    """Grey pictures as y4m, which needs no encoder."""
    _, height, width = pictures.shape
    grey = bytes([GREY]) * (2 * height * width)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1 C444\n".encode())
        for picture in pictures:
            file.write(b"FRAME\n" + picture.tobytes() + grey)


def read_clip(path: Path) -> tuple[Pictures, set[int], list[Fraction]]:
    """Luma, the codes that occur in chroma, and the times of a video's frames."""
    import numpy as np

    from david_cli.video.frame import Frame
    from david_cli.video.reader import VideoReader

    with VideoReader(path) as reader:
        frames = [item for item in reader.items() if isinstance(item, Frame)]
    luma = np.stack([frame.planes[0] for frame in frames]).astype(np.uint8)
    chroma = {
        int(code) for frame in frames for plane in frame.planes[1:] for code in np.unique(plane)
    }
    return luma, chroma, [frame.pts * frame.time_base for frame in frames]


def _scene(height: int, width: int) -> NDArray[np.uint8]:
    """Rectangles of all greys, as soft as a lens makes them; always the same."""
    import numpy as np

    rng = np.random.default_rng(1)
    light = np.full((height, width), 0.5)
    for _ in range(RECTANGLES):
        top, left = rng.integers(height), rng.integers(width)
        down, across = rng.integers(4, 30, 2)
        light[top : top + down, left : left + across] = rng.uniform()
    for _ in range(SOFTENED):
        light = _softened(_softened(light).T).T
    codes: NDArray[np.uint8] = np.rint(BLACK + (WHITE - BLACK) * light).astype(np.uint8)
    return codes


def _softened(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Binomial weights 1, 2, 1 along the rows."""
    import numpy as np

    wide = np.pad(light, ((0, 0), (1, 1)), mode="edge")
    weighted: NDArray[np.float64] = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
    return weighted


def _psnr(pictures: Pictures, truth: Pictures) -> float:
    import numpy as np

    error = float(np.mean((pictures.astype(np.float64) - truth) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
