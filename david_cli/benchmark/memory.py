"""Memory on the CPU: that it does not grow with the length of a video, nor beyond reach with 4K."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from david_cli.benchmark.child import in_own_process
from david_cli.benchmark.footage import write_clip
from david_cli.benchmark.machine import peak_resident
from david_cli.benchmark.results import SIZES, MemoryRun
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.pipeline import deblur_video
from david_cli.inference.report import Progress

SETTLED = 100
"""Frame by which a run holds all that it needs."""
MODEL = "david-lite"


@dataclass(frozen=True)
class Length:
    """A run to be measured."""

    size: str
    frames: int


LENGTHS = (Length("360p", 18_000), Length("4k", 60))
"""Ten minutes of small frames, and a few of large ones."""
QUICK_LENGTHS = (Length("360p", 1800), Length("4k", 16))


def measure_memory(
    lengths: tuple[Length, ...], tell: Callable[[str], None]
) -> tuple[MemoryRun, ...]:
    """Deblur each on the CPU, in a process of its own, and watch its memory.

    Args:
        lengths: of the clips, 8 bits and 4:2:0.
        tell: called with a line before each step.

    Raises:
        OutputError: there is no room for the clips.
    """
    runs: list[MemoryRun] = []
    for length in lengths:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder, "clip.mp4")
            tell(f"a clip of {length.frames} frames of {length.size}")
            write_clip(clip, *SIZES[length.size], length.frames)
            tell(f"{MODEL} on {length.frames} frames of {length.size}")
            runs.append(in_own_process(watch, clip, length))
    return tuple(runs)


def watch(clip: Path, length: Length, model: str = MODEL) -> MemoryRun:
    """Deblur a clip in this process, and note what it holds meanwhile.

    Args:
        clip: what `length` says.
        length: of it.
        model: a shipped name, or a weights file.
    """
    process = psutil.Process()
    settled = last = highest = 0.0

    def look(progress: Progress) -> None:
        nonlocal settled, last, highest
        last = float(process.memory_info().rss)
        if progress.done == min(SETTLED, length.frames):
            settled = last
        if progress.done >= SETTLED:
            highest = max(highest, last)

    deblurrer = load_deblurrer(model, device="cpu")
    target = clip.with_name("sharp.mp4")
    report = deblur_video(clip, target, deblurrer, overwrite=True, on_progress=look)
    return MemoryRun(
        model=deblurrer.name,
        size=length.size,
        frames=report.frames,
        tile=deblurrer.tile or 0,
        settled=settled,
        last=last,
        highest=max(highest, last),
        peak=peak_resident(),
    )
