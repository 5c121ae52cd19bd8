"""Peak memory of a short and of a ten times longer video: a stream must not remember its past.

    python -m tests.memory [FRAMES FRAMES]

Each run is a process of its own: 720p H.264 in, a network that mixes all seven frames, the default
encoder out. Prints a table.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.footage import Look, blocks, write_video

LENGTHS = (60, 600)
ALLOWED_GROWTH = 0.05
SIZE = (1280, 720)

RUN = """
import resource, sys
import torch
from david_cli import deblur_video
from tests.footage import KnownNetwork, known_deblurrer
torch.set_num_threads(1)
network = KnownNetwork((1, 1, 1), (0, 0, 0), radius=3)
report = deblur_video(sys.argv[1], sys.argv[2], known_deblurrer(network))
print(report.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, report.fps)
"""


def make_clip(path: Path, count: int) -> Path:
    """A pan over large coloured squares, back and forth."""
    look = Look("yuv420p", 1, 1, "libx264")
    (wide,) = blocks(look, 1, edge=112, size=12)
    width, height = SIZE
    views = [
        tuple(
            p[: height >> s, x >> s : (x + width) >> s]
            for s, p in zip((0, 1, 1), wide, strict=True)
        )
        for x in range(0, 64, 4)
    ]
    views += views[::-1]
    return write_video(path, [views[i % len(views)] for i in range(count)], look)


def peak(count: int) -> tuple[int, float]:
    """Peak resident memory in KiB of a run over so many frames, and its frames per second."""
    with tempfile.TemporaryDirectory() as name:
        source = make_clip(Path(name) / "in.mp4", count)
        command = [sys.executable, "-c", RUN, str(source), str(Path(name) / "out.mp4")]
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    frames, kibibytes, fps = done.stdout.split()
    assert int(frames) == count
    return int(kibibytes), float(fps)


def main(lengths: Sequence[int] = LENGTHS) -> int:
    first = 0
    growth = 0.0
    for count in lengths:
        kibibytes, fps = peak(count)
        first = first or kibibytes
        growth = kibibytes / first - 1
        text = f"{count:5} frames of {SIZE[0]}x{SIZE[1]}: peak {kibibytes / 1024:7.1f} MiB"
        sys.stdout.write(f"{text}, {growth:+.1%}, {fps:.1f} fps\n")
        sys.stdout.flush()
    return 1 if growth > ALLOWED_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main([int(text) for text in sys.argv[1:]] or LENGTHS))
