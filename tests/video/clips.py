"""Tiny clips made on the spot, and what a file holds, for tests of the way in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame

from david_cli.video.frame import ChromaLocation, ColorSpec, Frame
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, OutputPlan, plan_output
from david_cli.video.writer import VideoWriter

BT709 = ColorSpec(1, 1, 1, 1)
BT601_FULL = ColorSpec(5, 2, 5, 6)
PQ = ColorSpec(9, 1, 9, 16)
EVEN = tuple(range(10))


@dataclass(frozen=True)
class Clip:
    """What to put in a file."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    width: int = 48
    height: int = 32
    times: Sequence[int] = EVEN
    time_base: Fraction = Fraction(1, 25)
    color: ColorSpec = BT709
    options: dict[str, str] = field(default_factory=dict)
    audio: str | None = None
    audio_start: int = 0
    aspect: Fraction | None = None
    rotation: int = 0
    mirrored: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    chapters: int = 0
    prepare: Callable[[av.container.OutputContainer], None] | None = None
    """Adds what else there should be, before the header is written."""


def make_clip(path: Path, clip: Clip) -> Path:
    """Write a clip of moving noise; the container follows from the name."""
    rng = np.random.default_rng(7)
    with av.open(str(path), "w") as output:
        video = output.add_stream(clip.codec, rate=Fraction(25), options=clip.options)
        context = video.codec_context
        video.width, video.height, video.pix_fmt = clip.width, clip.height, clip.pix_fmt
        video.time_base = context.time_base = clip.time_base
        context.flags |= Flags.frame_duration
        context.colorspace, context.color_range = clip.color.matrix, clip.color.range
        context.color_primaries, context.color_trc = clip.color.primaries, clip.color.transfer
        if clip.aspect:
            context.sample_aspect_ratio = clip.aspect
        if clip.rotation or clip.mirrored:
            video.set_display_rotation(clip.rotation, hflip=clip.mirrored)
        audio = output.add_stream(clip.audio, rate=48000) if clip.audio else None
        output.metadata.update(clip.metadata)
        output.set_chapters([_chapter(number) for number in range(clip.chapters)])
        if clip.prepare:
            clip.prepare(output)
        if audio is not None:
            _write_tone(output, audio, clip)
        for time, after in zip(clip.times, [*clip.times[1:], clip.times[-1] + 1], strict=True):
            frame = _noise(clip, rng)
            frame.pts, frame.duration, frame.time_base = time, after - time, clip.time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def _noise(clip: Clip, rng: np.random.Generator) -> VideoFrame:
    frame = VideoFrame(clip.width, clip.height, clip.pix_fmt)
    bits = frame.format.components[0].bits
    for plane in frame.planes:
        words = np.frombuffer(memoryview(plane), np.uint8 if bits == 8 else "<u2")
        words[:] = rng.integers(0, 1 << bits, words.size)
    return frame


def _write_tone(output: Any, audio: Any, clip: Clip) -> None:
    seconds = float((clip.times[-1] + 1) * clip.time_base)
    count = int(seconds * 48000) // 1152 * 1152
    wave = (8000 * np.sin(np.arange(count) * 0.05)).astype(np.int16)
    sound = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    sound.sample_rate, sound.pts, sound.time_base = 48000, clip.audio_start, Fraction(1, 48000)
    audio.codec_context.layout = "mono"
    resampler = av.AudioResampler(audio.codec_context.format, "mono", 48000, 1152)
    if audio.codec_context.name in ("aac", "libopus"):
        resampler = av.AudioResampler(
            audio.codec_context.format, "mono", 48000, 960 if "opus" in audio.name else 1024
        )
    for piece in [*resampler.resample(sound), *resampler.resample(None)]:
        output.mux(audio.encode(piece))
    output.mux(audio.encode(None))


def _chapter(number: int) -> dict[str, Any]:
    times = {"start": number * 100, "end": number * 100 + 100, "time_base": Fraction(1, 1000)}
    return {"id": number + 1, **times, "metadata": {"title": f"part {number}"}}


def pass_through(
    source: Path,
    target: Path | None,
    options: EncodeOptions | None = None,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
) -> tuple[OutputPlan, VideoWriter]:
    """Reader -> writer without anything between."""
    with VideoReader(source, start=start, end=end) as reader:
        plan = plan_output(reader, target, options or EncodeOptions())
        writer = VideoWriter(plan, reader)
        for item in reader.items():
            if isinstance(item, Frame):
                writer.write(item)
            else:
                writer.mux(item)
        writer.finish()
    return plan, writer


@dataclass(frozen=True)
class Content:
    """What a file holds, on a clock of seconds."""

    frames: list[Frame]
    packets: dict[int, list[bytes]]
    packet_times: dict[int, list[Fraction]]
    kinds: dict[int, tuple[str, str]]
    chapters: list[dict[str, Any]]
    metadata: dict[str, str]
    color: ColorSpec
    aspect: Fraction | None
    rotation: int

    @property
    def times(self) -> list[Fraction]:
        return [frame.pts * frame.time_base for frame in self.frames]

    @property
    def durations(self) -> list[Fraction]:
        return [frame.duration * frame.time_base for frame in self.frames]

    def stream(self, kind: str) -> list[bytes]:
        """Packets of the only stream of a kind."""
        (index,) = [i for i, (found, _) in self.kinds.items() if found == kind]
        return self.packets.get(index, [])

    def start(self, kind: str) -> Fraction:
        (index,) = [i for i, (found, _) in self.kinds.items() if found == kind]
        return self.packet_times[index][0]


def read(path: Path) -> Content:
    """Everything in a file."""
    frames: list[Frame] = []
    packets: dict[int, list[bytes]] = {}
    times: dict[int, list[Fraction]] = {}
    with VideoReader(path) as reader:
        for item in reader.items():
            if isinstance(item, Frame):
                frames.append(item)
                continue
            packets.setdefault(item.stream_index, []).append(bytes(item))
            if item.pts is not None:
                times.setdefault(item.stream_index, []).append(item.pts * item.time_base)
        info = reader.info
        kinds = {s.index: (s.kind, s.codec) for s in info.streams if s.index != info.video_index}
        chapters = [
            {**c, "start": c["start"] * c["time_base"], "end": c["end"] * c["time_base"]}
            for c in reader.container.chapters()
        ]
    color = replace(info.color, chroma_location=ChromaLocation.UNSPECIFIED)
    aspect, rotation = info.sample_aspect_ratio, info.rotation
    return Content(frames, packets, times, kinds, chapters, info.metadata, color, aspect, rotation)


def same_planes(a: Sequence[Frame], b: Sequence[Frame]) -> bool:
    """Equal pictures, code for code."""
    return len(a) == len(b) and all(
        len(x.planes) == len(y.planes)
        and all(np.array_equal(p, q) for p, q in zip(x.planes, y.planes, strict=True))
        for x, y in zip(a, b, strict=True)
    )
