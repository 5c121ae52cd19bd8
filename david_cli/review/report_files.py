"""What is known without the run: the two files, what came over between them, and the versions."""

from __future__ import annotations

import platform
from collections import Counter
from importlib.metadata import version

import torch

from david_cli import __version__
from david_cli.review.report_data import FileFacts
from david_cli.video.build import ffmpeg_build
from david_cli.video.frame import StreamInfo, VideoInfo
from david_cli.video.metadata import lasting, missing


def versions() -> dict[str, str]:
    """Of all that has a say in a result."""
    return {
        "david": __version__,
        "Python": platform.python_version(),
        "PyTorch": str(torch.__version__),
        "PyAV": version("av"),
        "FFmpeg": ffmpeg_build().version,
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def file_facts(info: VideoInfo) -> FileFacts:
    """What a file is, of what its reader says; its size is looked up."""
    return FileFacts(
        name=info.path.name,
        bytes=info.path.stat().st_size,
        container=info.container,
        codec=info.codec,
        pixel_format=info.source_format,
        width=info.width,
        height=info.height,
        rate=float(info.rate) if info.rate else None,
        seconds=float(info.duration) if info.duration else None,
        bit_rate=info.bit_rate,
        rotation=info.rotation,
        hdr=info.color.hdr,
        chapters=info.chapters,
        streams=tuple(_line(stream) for stream in info.streams),
    )


def compare_contents(before: VideoInfo, after: VideoInfo) -> tuple[list[str], list[str]]:
    """Lines of what came over beside the picture, and of what did not, as far as headers tell."""
    present = Counter(_identity(stream) for stream in _others(after))
    kept: list[str] = []
    lost: list[str] = []
    for stream in _others(before):
        found = present[_identity(stream)] > 0
        present[_identity(stream)] -= found
        (kept if found else lost).append(_line(stream))
    if before.chapters:
        (kept if after.chapters else lost).append(f"{before.chapters} chapters")
    entries = lasting(before.metadata)
    absent = missing(entries, after.metadata)
    if len(entries) > len(absent):
        kept.append(f"{len(entries) - len(absent)} metadata entries")
    if absent:
        lost.append(f"metadata {', '.join(absent)}")
    return kept, lost


def _others(info: VideoInfo) -> list[StreamInfo]:
    return [stream for stream in info.streams if stream.index != info.video_index]


def _identity(stream: StreamInfo) -> tuple[str, str, str | None]:
    """What a copied stream has in common with its copy; titles are not kept everywhere."""
    return stream.kind, stream.codec, stream.language


def _line(stream: StreamInfo) -> str:
    """E.g. ``audio stream 1 (aac, 48000 Hz stereo, eng)``."""
    details = (stream.codec, stream.detail, stream.language, stream.title)
    return f"{stream.kind} stream {stream.index} ({', '.join(text for text in details if text)})"
