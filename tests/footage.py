"""Clips painted code by code, plain decoding without david, and networks of known effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import torch
from av.codec.context import Flags
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from torch import Tensor, nn

from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.workers import Crew
from david_cli.video.frame import PixelFormat

Planes = tuple[NDArray[np.integer], ...]
FRAMES = 7
"""The window of every network here."""


@dataclass(frozen=True)
class Look:
    """A pixel format and what its codes mean."""

    pix_fmt: str
    matrix: int = 2
    range: int = 0
    codec: str = "ffv1"
    primaries: int = 2
    transfer: int = 2

    def __str__(self) -> str:
        return f"{self.pix_fmt}-matrix{self.matrix}-range{self.range}"

    @property
    def format(self) -> PixelFormat:
        return PixelFormat.parse(self.pix_fmt)


class KnownNetwork(nn.Module):
    """Takes the mean of some frames of the window, then gain x rgb + offset per channel."""

    total_stride = 1
    config = SimpleNamespace(frames=FRAMES)

    def __init__(
        self,
        gain: Sequence[float] = (0.5, 0.5, 0.5),
        offset: Sequence[float] = (0.25, 0.25, 0.25),
        *,
        radius: int = 0,
    ) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(gain)[:, None, None])
        self.register_buffer("offset", torch.tensor(offset)[:, None, None])
        self.radius = radius

    def forward(self, window: Tensor) -> Tensor:
        centre = FRAMES // 2
        mean = window[:, centre - self.radius : centre + self.radius + 1].mean(1)
        return mean * self.gain + self.offset


def known_deblurrer(
    network: nn.Module | None = None,
    tile: int | None = 0,
    overlap: int = 8,
    crew: Crew | None = None,
) -> Deblurrer:
    """The test network, unguarded: what it does would alarm the guard."""
    network = KnownNetwork() if network is None else network
    cpu = torch.device("cpu")
    return Deblurrer(
        network, device=cpu, tile=tile, overlap=overlap, guard=False, name="known", crew=crew
    )


def noise(look: Look, count: int, width: int = 48, height: int = 32, seed: int = 7) -> list[Planes]:
    """Frames of every code of the format, those that no picture should have included."""
    rng, format = np.random.default_rng(seed), look.format
    shapes = format.plane_shapes(width, height)
    return [
        tuple(rng.integers(0, 1 << format.bits, s).astype(format.dtype) for s in shapes)
        for _ in range(count)
    ]


def blocks(look: Look, count: int, edge: int = 16, size: int = 3, seed: int = 3) -> list[Planes]:
    """Flat squares of random colours, ``size`` by ``size`` of ``edge`` luma pixels."""
    rng, format = np.random.default_rng(seed), look.format
    frames = []
    for _ in range(count):
        planes = []
        for rows, columns in format.plane_shapes(edge * size, edge * size):
            codes = rng.integers(0, 1 << format.bits, (size, size)).astype(format.dtype)
            planes.append(codes.repeat(rows // size, 0).repeat(columns // size, 1))
        frames.append(tuple(planes))
    return frames


def write_video(
    path: Path,
    frames: Sequence[Planes],
    look: Look,
    *,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    end: int | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode planes as they are; the container follows from the name. The last frame lasts until
    ``end``, or for one tick."""
    times = range(len(frames)) if times is None else times
    height, width = frames[0][0].shape
    with av.open(str(path), "w") as output:
        stream = output.add_stream(look.codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, look.pix_fmt
        context = stream.codec_context
        stream.time_base = context.time_base = time_base
        context.flags |= Flags.frame_duration
        context.colorspace, context.color_range = look.matrix, look.range
        context.color_primaries, context.color_trc = look.primaries, look.transfer
        for i, planes in enumerate(frames):
            frame = VideoFrame(width, height, look.pix_fmt)
            for plane, codes in zip(frame.planes, planes, strict=True):
                _codes(plane, codes.dtype)[:, : codes.shape[1]] = codes
            frame.pts, frame.time_base = times[i], time_base
            after = times[i + 1] if i + 1 < len(times) else end or times[i] + 1
            frame.duration = after - times[i]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


_PLANAR = {"bgr0": "gbrp", "bgra": "gbrap"}


@dataclass(frozen=True)
class Plain:
    """What a decode loop without david finds in a file."""

    pix_fmt: str
    frames: list[Planes]
    times: list[Fraction]
    durations: list[Fraction]
    tags: tuple[int, int]
    """Matrix and range."""


def plain_decode(path: Path) -> Plain:
    """Decode the video with PyAV alone, up to the first exception; packed RGB as planes."""
    frames, times, durations = [], [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        pix_fmt = _PLANAR.get(context.pix_fmt, context.pix_fmt)
        try:
            for picture in container.decode(stream):
                if pix_fmt != context.pix_fmt:
                    picture = picture.reformat(format=pix_fmt, threads=1)  # only moves bytes
                dtype = np.uint8 if picture.format.components[0].bits <= 8 else np.uint16
                frames.append(tuple(_codes(p, dtype)[:, : p.width].copy() for p in picture.planes))
                times.append(picture.pts * picture.time_base)
                durations.append((picture.duration or 0) * picture.time_base)
        except av.FFmpegError:
            pass
        tags = (int(context.colorspace), int(context.color_range))
        return Plain(pix_fmt, frames, times, durations, tags)


def packets(path: Path, kind: str) -> tuple[list[bytes], list[Fraction]]:
    """Payloads and times of the packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        found = [p for p in container.demux(stream) if p.size]
        return [bytes(p) for p in found], [p.pts * p.time_base for p in found]


def same(a: Sequence[Planes], b: Sequence[Planes]) -> bool:
    """Equal code for code."""
    return len(a) == len(b) and all(
        len(x) == len(y) and all(np.array_equal(p, q) for p, q in zip(x, y, strict=True))
        for x, y in zip(a, b, strict=True)
    )


def _codes(plane: av.video.plane.VideoPlane, dtype: np.typing.DTypeLike) -> NDArray[np.integer]:
    """All of a plane's memory, lines at their full size."""
    return np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
