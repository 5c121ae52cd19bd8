"""`david synth`: paired data from real footage or from sharp photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from david_cli.cli import checks, making, options
from david_cli.errors import UsageError

if TYPE_CHECKING:
    from david_cli.synthesis.sources import Source

Layout = Literal["dvd", "pack"]

AVERAGING = "Averaging"
VIDEOS = "From videos"
PHOTOS = "From photographs"
COUNT, TEXTURES, TREMOR = 4096, 800, 0.25

Unused = tuple[str, str]
"""Options that would be ignored, and why."""
FOR_PHOTOS: Unused = (
    "count frames_per_video strength tremor textures workers",
    "is for --photos only",
)
FOR_VIDEOS: Unused = "interpolate interpolator height crops", "is for videos only"
FOR_PACKS: Unused = "size frames crops", "is for --layout pack only"
FOR_SAMPLES: Unused = (
    "size frames levels level_choice stride gamma strength tremor layout workers",
    "does not go with --textures, which renders no samples",
)
FOR_INTERPOLATION: Unused = "interpolator", "needs --interpolate, from 2 on"


def synth(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of what is made.")
    ],
    videos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="VIDEO", help="Real footage, or folders of it.", show_default=False),
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            "--photos",
            metavar="PATH",
            help="Instead of videos: sharp pictures, folders of them, or videos whose sharpest "
            "frames are taken; may be repeated.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        Layout | None,
        typer.Option(
            "--layout",
            metavar="NAME",
            help="dvd: folders of PNG pairs. pack: a training pack. By default dvd for videos, "
            "pack for photographs.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int, typer.Option("--size", min=32, help="Edge of a pack's samples in pixels.")
    ] = 96,
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Frames of a window, an odd number.")
    ] = 7,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 1,
    licences: Annotated[
        Path | None,
        typer.Option(
            "--licences",
            metavar="TSV",
            help="Table with columns file and licence; what it says is recorded.",
        ),
    ] = None,
    licence_filter: Annotated[
        str | None,
        typer.Option(
            "--licence-filter",
            metavar="P,P",
            help="Use only sources whose licence, as --licences has it, is like one of these, "
            "e.g. 'CC0*,Apache*'.",
        ),
    ] = None,
    levels: Annotated[
        str,
        typer.Option(
            "--levels",
            metavar="N,N",
            help="Frames per average, odd numbers.",
            rich_help_panel=AVERAGING,
        ),
    ] = "3,7,11,15",
    level_choice: Annotated[
        Literal["random", "each"],
        typer.Option(
            "--level-choice",
            help="One level at random per scene or sample, or each of them.",
            rich_help_panel=AVERAGING,
        ),
    ] = "random",
    stride: Annotated[
        int,
        typer.Option(
            "--stride",
            min=1,
            help="Frames from one average to the next.",
            rich_help_panel=AVERAGING,
        ),
    ] = 8,
    gamma: Annotated[
        float | None,
        typer.Option(
            "--gamma",
            min=1.0,
            max=3.0,
            help="1.0 averages code values, 2.2 averages light. By default 1.0 for videos, and "
            "30 % of light for photographs.",
            show_default=False,
            rich_help_panel=AVERAGING,
        ),
    ] = None,
    interpolate: Annotated[
        int,
        typer.Option(
            "--interpolate",
            min=1,
            metavar="N",
            help="Make N frames of each first: 8 turns 30 frames a second into 240.",
            rich_help_panel=VIDEOS,
        ),
    ] = 1,
    interpolator: Annotated[
        Literal["minterpolate", "rife"],
        typer.Option(
            "--interpolator",
            help="FFmpeg's motion compensation, or a learned one that has to be installed.",
            rich_help_panel=VIDEOS,
        ),
    ] = "minterpolate",
    height: Annotated[
        int | None,
        typer.Option(
            "--height", min=32, help="Reduce larger frames to this.", rich_help_panel=VIDEOS
        ),
    ] = None,
    crops: Annotated[
        int,
        typer.Option(
            "--crops", min=1, help="Crops of each window of a pack.", rich_help_panel=VIDEOS
        ),
    ] = 4,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            min=1,
            help=f"Number of samples ({COUNT}) or textures ({TEXTURES}).",
            show_default=False,
            rich_help_panel=PHOTOS,
        ),
    ] = None,
    strength: Annotated[
        str,
        typer.Option(
            "--strength",
            metavar="X",
            help="How fast the camera and layers move; 1 is a calm hand. auto is measured: mean "
            "input PSNR of level 7 near 28.5 dB.",
            rich_help_panel=PHOTOS,
        ),
    ] = "auto",
    tremor: Annotated[
        float,
        typer.Option(
            "--tremor",
            metavar="SHARE",
            min=0,
            max=1,
            help="Largest amplitude of the hand's tremor at 8 to 12 Hz, as a share of how far the "
            "camera drifts in a frame; a stabilised one leaves little.",
            rich_help_panel=PHOTOS,
        ),
    ] = TREMOR,
    frames_per_video: Annotated[
        int,
        typer.Option(
            "--frames-per-video",
            min=1,
            help="Sharpest frames taken from each video.",
            rich_help_panel=PHOTOS,
        ),
    ] = 12,
    textures: Annotated[
        bool,
        typer.Option(
            "--textures",
            metavar="",
            help="Make a small file of textures, for rendering while training.",
            rich_help_panel=PHOTOS,
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes.", rich_help_panel=PHOTOS)
    ] = 1,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Make paired data, blurry and sharp.

    From videos, as DVD and Challenging DVD are made: every 8th frame is a truth, and its blurry
    twin the mean of the 3, 7, 11 or 15 frames around it, never across a cut. DVD's layout
    OUT/<video>/{input,GT}/NNNNN.png or, with --level-choice each, OUT/<video>/{blurNN,sharp} is
    what `david eval` reads. From photographs: what a hand-held camera sees of them at 240 frames
    a second, averaged likewise. A pack from photographs that is only partly there is completed.

    [bold]Examples[/bold]
      david synth gopro240/*.mp4 -o dvd
      david synth clips/ -o pairs --interpolate 8 --level-choice each
      david synth clips/ -o packs/clips --layout pack --interpolate 8
      david synth --photos photos/ -o packs/photos --count 8192 --workers 2
      david synth --photos photos/ -o packs/free --licences MANIFEST.tsv --licence-filter 'CC0*'
    """
    if bool(videos) == bool(photos):
        raise UsageError("give videos or --photos, one of the two; see 'david synth --help'")
    pack = layout == "pack" if videos else layout != "dvd"
    _refuse_unused(context, FOR_PHOTOS if videos else FOR_VIDEOS)
    if videos and not pack:
        _refuse_unused(context, FOR_PACKS)
    if interpolate == 1:
        _refuse_unused(context, FOR_INTERPOLATION)
    if textures:
        _refuse_unused(context, FOR_SAMPLES)
    if frames % 2 != 1:
        raise UsageError(f"--frames {frames}: a window has a centre; give an odd number")
    if stride % interpolate:
        raise UsageError(
            f"--interpolate {interpolate}: --stride {stride} is no multiple of it, so that "
            "truths would be interpolated frames"
        )
    speed = _parse_strength(strength)
    drawn: dict[str, Any] = {
        "levels": _parse_levels(levels),
        "level_choice": level_choice,
        "stride": stride,
        "seed": seed,
        "size": size,
        "frames": frames,
    }

    from david_cli.synthesis.camera import MotionRange, SceneRange
    from david_cli.synthesis.settings import PackSettings
    from david_cli.synthesis.textures import TextureStoreSettings
    from david_cli.synthesis.windows import ClipPackSettings

    sources = _find_sources(videos, photos, licences, licence_filter, quiet=quiet)
    if videos:
        averaged = ClipPackSettings(
            **drawn,
            gamma=gamma or 1.0,
            interpolate=interpolate,
            interpolator=interpolator,
            height=height,
            crops=crops,
        )
        making.from_videos(sources, output, averaged, pack=pack, quiet=quiet)
    elif textures:
        store = TextureStoreSettings(count=count or TEXTURES, seed=seed)
        making.textures(sources, output, store, frames_per_video=frames_per_video, quiet=quiet)
    else:
        light: dict[str, Any] = {}
        if gamma is not None:
            light = {"linear_share": float(gamma > 1), "gamma": gamma}
        making.from_photos(
            sources,
            output,
            PackSettings(
                **drawn,
                **light,
                count=count or COUNT,
                strength=speed or 1.0,
                scene=SceneRange(camera=MotionRange(tremor=tremor)),
            ),
            frames_per_video=frames_per_video,
            calibrate=speed is None,
            pack=pack,
            workers=workers,
            quiet=quiet,
        )


def _find_sources(
    videos: Sequence[Path] | None,
    photos: Sequence[Path] | None,
    licences: Path | None,
    licence_filter: str | None,
    *,
    quiet: bool,
) -> list[Source]:
    """The files to work on, with the licences that the manifest states."""
    from david_cli.synthesis.sources import (
        PHOTO_SUFFIXES,
        VIDEO_SUFFIXES,
        find_sources,
        read_licences,
        with_licence,
    )

    if licence_filter is not None and licences is None:
        raise UsageError("--licence-filter needs --licences, the table that states them")
    suffixes = VIDEO_SUFFIXES if videos else PHOTO_SUFFIXES + VIDEO_SUFFIXES
    known = read_licences(licences) if licences else {}
    sources = find_sources(videos or photos or [], suffixes, known)
    if licence_filter is None:
        return sources
    kept = with_licence(sources, [p.strip() for p in licence_filter.split(",")])
    if not quiet:
        typer.echo(f"{len(kept)} of {len(sources)} sources have such a licence", err=True)
    return kept


def _refuse_unused(context: typer.Context, unused: Unused) -> None:
    """An option that would be ignored is a mistake."""
    names, why = unused
    for name in names.split():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name.replace('_', '-')} {why}")


def _parse_levels(text: str) -> tuple[int, ...]:
    levels = tuple(checks.parse_levels("--levels", text) or ())
    odd = all(level % 2 == 1 and 0 < level < 256 for level in levels)
    if not odd or len(set(levels)) < len(levels):
        raise UsageError(f"--levels {text}: give different odd numbers from 1 to 255")
    return levels


def _parse_strength(text: str) -> float | None:
    """None for ``auto``."""
    if text == "auto":
        return None
    try:
        strength = float(text)
    except ValueError:
        strength = 0.0
    if not 0.05 <= strength <= 20:
        raise UsageError(f"--strength {text}: give auto or a number from 0.05 to 20")
    return strength
