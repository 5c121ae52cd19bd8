"""`david synth`: training packs rendered from sharp photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from david_cli.cli import options


def synth(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE", help="Sharp pictures, videos, or folders of them.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PACK", help="Folder of the pack.")
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="Number of samples.")] = 4096,
    size: Annotated[int, typer.Option("--size", min=32, help="Their edge in pixels.")] = 96,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 1,
    frames_per_video: Annotated[
        int,
        typer.Option("--frames-per-video", min=1, help="Sharpest frames taken from each video."),
    ] = 12,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    debug: options.DebugOption = False,
) -> None:
    """Render training samples: pictures seen by a shaking hand-held camera.

    Every sample is a window of seven blurry frames and the sharp truth of its centre, averaged
    from exact sub-frames at 240 a second over 3, 7, 11 or 15 of them, as in Challenging DVD. A
    pack that is only partly there is completed.

    [bold]Examples[/bold]
      david synth photos/ -o packs/photos --count 8192 --workers 2
      david synth photos/ clips/ -o packs/mixed --seed 2
    """
    from david_cli.synthesis.dataset import PackSettings, build_pack, read_packs
    from david_cli.synthesis.exposure import mean_psnr_of_inputs
    from david_cli.synthesis.footage import list_sources

    pictures = list_sources(sources, output / "frames", frames_per_video)
    settings = PackSettings(count=count, size=size, seed=seed)
    build_pack(
        pictures,
        output,
        settings,
        workers=workers,
        on_shard=lambda done, total: typer.echo(f"shard {done} of {total}", err=True),
    )
    for level in settings.levels:
        pack = read_packs([output], [level])
        centres = pack.blurry[:, settings.frames // 2].float() / 255
        strength = mean_psnr_of_inputs(list(centres), list(pack.sharp.float() / 255))
        typer.echo(f"level {level}: {len(pack)} samples, mean input PSNR {strength:.1f} dB")
