"""Deblur clips from Python: one network for all of them, progress, warnings, errors.

    python examples/deblur_clips.py holiday.mp4 party.mov --folder sharp/ --strength 0.8

What `david deblur` does, as two calls; put your own code around them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from david_cli import deblur_video, load_deblurrer
from david_cli.errors import DavidError
from david_cli.inference.report import Progress


def main() -> int:
    options = parse_arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    deblurrer = load_deblurrer(options.model)  # read once, used for every clip
    print(f"{deblurrer.name} on {deblurrer.device}, {deblurrer.precision}")
    failed = 0
    for clip in options.clips:
        try:
            report = deblur_video(
                clip,
                options.folder / clip.name,
                deblurrer,
                strength=options.strength,
                overwrite=True,
                on_progress=show,
                on_message=lambda line: print(f"  note: {line}"),
            )
        except DavidError as error:  # one line for a person, and an exit_code
            print(error, file=sys.stderr)
            failed += 1
        else:
            print(f"{report.target}: {report.frames} frames, {report.fps:.1f} a second")
    return 1 if failed else 0


def show(progress: Progress) -> None:
    """A line every 100 frames."""
    if progress.done % 100 == 0:
        total = progress.total or "?"
        print(f"  {progress.done}/{total} frames, limited by {progress.bottleneck}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deblur clips.")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("sharp"), help="where to put them")
    parser.add_argument("--model", default="auto", help="david, david-lite or a .safetensors file")
    parser.add_argument("--strength", type=float, default=1.0, help="0 to 1")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
