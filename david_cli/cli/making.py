"""What `david synth` makes: each with its counter on standard error and, at the end, a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from david_cli.cli.counter import Counter

if TYPE_CHECKING:
    from david_cli.synthesis.report import Report
    from david_cli.synthesis.settings import PackSettings
    from david_cli.synthesis.sources import Source
    from david_cli.synthesis.textures import TextureStoreSettings
    from david_cli.synthesis.windows import ClipPackSettings


def from_videos(
    sources: Sequence[Source],
    output: Path,
    settings: ClipPackSettings,
    *,
    pack: bool,
    quiet: bool,
) -> None:
    """Average real footage into a pack, or into folders of pairs."""
    from dataclasses import fields

    from david_cli.synthesis.clips import ClipSettings
    from david_cli.synthesis.pairs import make_pairs
    from david_cli.synthesis.windows import make_clip_pack
    from david_cli.video.reader import read_info

    counts = [read_info(source.path).frame_count for source in sources]
    total = None if None in counts else sum(n or 0 for n in counts)
    record = _record(sources)
    with Counter("averaging", "frames", quiet=quiet) as counter:
        calls: dict[str, Any] = {
            "on_frame": lambda done: counter.update(done, total),
            "on_warning": counter.warn,
        }
        if pack:
            report = make_clip_pack(sources, output, settings, record, **calls)
        else:
            own = {field.name: getattr(settings, field.name) for field in fields(ClipSettings)}
            report = make_pairs(sources, output, ClipSettings(**own), record, **calls)
    _print(report, quiet=quiet)


def from_photos(
    sources: Sequence[Source],
    output: Path,
    settings: PackSettings,
    *,
    frames_per_video: int,
    calibrate: bool,
    pack: bool,
    workers: int,
    quiet: bool,
) -> None:
    """Render photographs into a pack, or into folders of pairs.

    With ``calibrate`` at the strength that suits them, else at that of the settings.
    """
    pictures = _pictures(sources, output, frames_per_video)
    record = _record(sources, frames_per_video)
    if calibrate:
        settings = _calibrated(pictures, settings, workers=workers, quiet=quiet)
    make = _photo_pack if pack else _photo_pairs
    _print(make(pictures, output, settings, record, workers=workers, quiet=quiet), quiet=quiet)


def textures(
    sources: Sequence[Source],
    output: Path,
    settings: TextureStoreSettings,
    *,
    frames_per_video: int,
    quiet: bool,
) -> None:
    """Cut textures out of photographs."""
    from david_cli.synthesis.textures import FILE, make_textures

    pictures = _pictures(sources, output, frames_per_video)
    record = _record(sources, frames_per_video)
    with Counter("cutting", "textures", quiet=quiet) as counter:
        make_textures(pictures, output, settings, record, on_texture=counter.update)
    if not quiet:
        megabytes = (output / FILE).stat().st_size / 1e6
        typer.echo(f"{settings.count} textures, {megabytes:.1f} MB")


def _pictures(sources: Sequence[Source], output: Path, frames_per_video: int) -> list[Path]:
    """Photographs and the sharpest frames of videos, each decoded once as a test."""
    from david_cli.synthesis.dataset import check_photos
    from david_cli.synthesis.footage import FRAMES, sharp_pictures

    pictures = sharp_pictures(sources, output / FRAMES, frames_per_video)
    check_photos(pictures)
    return pictures


def _record(sources: Sequence[Source], frames_per_video: int | None = None) -> dict[str, Any]:
    """What is recorded beside the settings; how many frames were taken, only of videos."""
    from david_cli.synthesis.sources import library_versions

    facts: dict[str, Any] = {"sources": [source.facts() for source in sources]}
    if frames_per_video is not None and any(source.is_video for source in sources):
        facts["frames_per_video"] = frames_per_video
    return {**facts, "versions": library_versions()}


def _calibrated(
    pictures: Sequence[Path], settings: PackSettings, *, workers: int, quiet: bool
) -> PackSettings:
    """The same at the strength that ``--strength auto`` finds."""
    from dataclasses import replace

    from david_cli.synthesis.dataset import calibrated_strength

    with Counter("measuring blur", "samples", quiet=quiet) as counter:
        strength = calibrated_strength(
            pictures,
            settings,
            workers=workers,
            on_sample=lambda done: counter.update(done, None),
        )
    if not quiet:
        typer.echo(f"strength {strength:g}")
    return replace(settings, strength=strength)


def _photo_pairs(
    pictures: Sequence[Path],
    output: Path,
    settings: PackSettings,
    record: dict[str, Any],
    *,
    workers: int,
    quiet: bool,
) -> Report:
    from david_cli.synthesis.pairs import make_photo_pairs

    with Counter("rendering", "clips", quiet=quiet) as counter:
        return make_photo_pairs(
            pictures, output, settings, record, workers=workers, on_clip=counter.update
        )


def _photo_pack(
    pictures: Sequence[Path],
    output: Path,
    settings: PackSettings,
    record: dict[str, Any],
    *,
    workers: int,
    quiet: bool,
) -> Report:
    from david_cli.synthesis.dataset import build_pack
    from david_cli.synthesis.packs import note_measured, read_packs
    from david_cli.synthesis.report import Report

    with Counter("rendering", "shards", quiet=quiet) as counter:
        build_pack(pictures, output, settings, record, workers=workers, on_shard=counter.update)
    report = Report.of(read_packs([output]))
    note_measured(output, report.measured())
    return report


def _print(report: Report, *, quiet: bool) -> None:
    if quiet:
        return
    for level, psnr in report.mean_psnr.items():
        samples = report.samples[level]
        typer.echo(f"level {level}: {samples} samples, mean input PSNR {psnr:.1f} dB")
