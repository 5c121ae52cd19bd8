"""Small rehearsals in memory: does this encoder take the frames, does this container keep them.

Nothing is believed that was not read back. So no table says which container holds which codec,
timing, rotation or metadata; a new FFmpeg changes the outcome by itself.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.format import ContainerFormat
from av.format import Flags as FormatFlags
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.video.codecs import Encoding
from david_cli.video.frame import ColorSpec, Frame, Range, VideoInfo
from david_cli.video.marks import FrameMarks, field_parity
from david_cli.video.repack import flat, planar_format, to_video_frame
from david_cli.video.sample import PacketCopy, display_matrix
from david_cli.video.source import color_of, is_picture

FAILURES = (av.error.FFmpegError, OSError, ValueError, MemoryError)  # what PyAV raises on refusal

MOV_FAMILY = ("mp4", "mov", "ipod", "3gp", "3g2", "f4v", "psp")
ROOMY = ("matroska", "mov")  # between them they hold every codec david writes

_MAX_RATE = 1000  # frames per second; above, a rate is a clock's tick and no rate
_SIZE = (256, 144)  # of a rehearsal: every encoder takes it, DNxHR nothing smaller than 256x120
_EVEN = (0, 1, 2, 3, 4, 5)
_UNEVEN = (0, 1, 2, 5, 6, 9)  # frame times in frame periods
_EXACT = Fraction(1, 1000)  # seconds; Matroska and FLV count milliseconds
_IMAGE_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


@dataclass(frozen=True)
class Look:
    """What a file says about its picture and itself, beyond the coded frames."""

    info: VideoInfo
    matrix: tuple[int, ...] | None = None
    """Display matrix: rotation and mirroring."""
    field_order: int = 0
    """FFmpeg's AVFieldOrder; above 1 the frames are interlaced."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of the file."""
    stream_metadata: dict[str, str] = field(default_factory=dict)
    """Of the video stream."""
    disposition: int = 0
    chapters: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came back from a rehearsal."""

    timing: bool
    """Every frame, at its time and with its duration."""
    range: bool
    """Full range, where the source has it: without the tag a picture looks wrong."""
    color: bool
    """Matrix, primaries and transfer."""
    fields: bool
    """Interlacing and the order of fields, where the source tells them."""
    sample_aspect_ratio: bool
    orientation: bool
    chapters: bool
    lost_metadata: tuple[str, ...]
    """Keys of the file's metadata that did not come back."""
    streams: Counter[tuple[str, str | None]]
    """Kind and codec of every stream but the first video."""


def nominal_rate(info: VideoInfo) -> Fraction:
    """Frames per second for rate control and headers; times come from the frames' own pts."""
    return info.rate if info.rate and 0 < info.rate <= _MAX_RATE else Fraction(25)


def video_time_base(container: str, info: VideoInfo) -> Fraction:
    """The source's clock; one tick per frame in a container that knows only a fixed rate."""
    variable = FormatFlags.variable_fps in FormatFlags(ContainerFormat(container, "w").flags)
    return info.time_base if variable else 1 / nominal_rate(info)


@dataclass(frozen=True)
class VideoTrack:
    """The video stream of an output: takes frames, gives packets."""

    stream: VideoStream
    encoding: Encoding
    marks: FrameMarks

    def encode(self, frame: Frame | None) -> list[Packet[VideoStream]]:
        """Packets ready to mux; None drains the encoder."""
        if frame is None:
            return self.stream.encode(None)
        picture = to_video_frame(frame, self.encoding.pix_fmt, self.encoding.color)
        return self.stream.encode(self.marks.put(picture))


def add_video(
    output: OutputContainer, encoding: Encoding, look: Look, time_base: Fraction
) -> VideoTrack:
    """Add the video stream, with all that the container can say about it."""
    if encoding.encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "0")  # it writes to stderr by itself
    info, color = look.info, encoding.color
    stream = output.add_stream(encoding.encoder, rate=nominal_rate(info), options={})
    assert isinstance(stream, VideoStream)
    stream.time_base = time_base
    context = stream.codec_context
    context.width, context.height = info.width, info.height
    context.pix_fmt = encoding.pix_fmt
    context.time_base = time_base
    context.flags |= Flags.frame_duration
    context.color_range, context.colorspace = color.range, color.matrix
    context.color_primaries, context.color_trc = color.primaries, color.transfer
    if info.sample_aspect_ratio:
        context.sample_aspect_ratio = info.sample_aspect_ratio
    if field_parity(look.field_order):
        context.field_order = look.field_order
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    if encoding.codec == "hevc" and output.format.name in MOV_FAMILY:
        context.codec_tag = "hvc1"  # Apple's players know no other
    context.options = dict(encoding.options)
    target = planar_format(encoding.pix_fmt)
    if color.chroma_location and target and target.log2_chroma != (0, 0):
        context.options["chroma_sample_location"] = str(int(color.chroma_location))
    stream.set_display_matrix(look.matrix)
    stream.metadata.update(look.stream_metadata)
    stream.disposition = Disposition(look.disposition)
    marks = FrameMarks(context, info.sample_aspect_ratio, look.field_order)
    return VideoTrack(stream, encoding, marks)


def add_copy(output: OutputContainer, source: Stream, first: Sequence[PacketCopy]) -> Stream | None:
    """Add a stream whose packets will be copied.

    Matroska keeps cover art as an attached file, written with the header: None is returned then.
    """
    stream: Stream
    if is_picture(source) and "matroska" in output.format.name and first:
        suffix, mime = _IMAGE_TYPES.get(source.codec_context.name, ("bin", "image/*"))
        name = source.metadata.get("filename", f"cover.{suffix}")
        output.add_attachment(name, source.metadata.get("mimetype", mime), first[0].data)
        return None
    stream = output.add_stream_from_template(source, opaque=True)
    stream.metadata.update(source.metadata)
    stream.disposition = source.disposition
    return stream


def encodes(encoding: Encoding, info: VideoInfo) -> bool:
    """Whether a grey frame of the source's size comes back from encoder and decoder in the same
    size and format."""
    return any(_comes_back(encoding, info, container) for container in ROOMY)


def _comes_back(encoding: Encoding, info: VideoInfo, container: str) -> bool:
    frame = _grey_frame(info)
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container) as output:
            video = add_video(output, encoding, Look(info), frame.time_base)
            output.mux([*video.encode(frame), *video.encode(None)])
        with _reopened(file) as back:
            pictures = list(back.decode(video=0))
    except FAILURES:
        return False
    sent = to_video_frame(frame, encoding.pix_fmt, encoding.color)
    return len(pictures) == 1 and _kind(pictures[0]) == _kind(sent)


def rehearse(
    container: str,
    options: dict[str, str],
    encoding: Encoding,
    look: Look,
    copies: Sequence[tuple[Stream, Sequence[PacketCopy]]] = (),
    *,
    uneven: bool = False,
) -> Outcome | None:
    """Write six small frames, everything the file says, and the first packets of other streams;
    read them back. None where the container refuses."""
    width, height = _SIZE
    small = replace(look, info=replace(look.info, width=width, height=height))
    time_base = video_time_base(container, look.info)
    period = max(1, round(1 / (nominal_rate(look.info) * time_base)))
    times = [step * period for step in (_UNEVEN if uneven else _EVEN)]
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container, container_options=options) as output:
            _perform(output, encoding, small, copies, times, time_base)
        with _reopened(file) as back:
            return _observe(back, small, encoding.color, [t * time_base for t in times])
    except FAILURES:
        return None


def _perform(
    output: OutputContainer,
    encoding: Encoding,
    look: Look,
    copies: Sequence[tuple[Stream, Sequence[PacketCopy]]],
    times: Sequence[int],
    time_base: Fraction,
) -> None:
    video = add_video(output, encoding, look, time_base)
    copied = [(add_copy(output, source, first), first) for source, first in copies]
    output.metadata.update(look.metadata)
    output.set_chapters(list(look.chapters))  # type: ignore[arg-type]
    output.start_encoding()
    for target, first in copied:
        for copy in first:
            packet = copy.packet()
            if target is not None:
                packet.stream = target
                output.mux(packet)
    grey = _grey_frame(look.info)
    for time, after in zip(times, [*times[1:], 2 * times[-1] - times[-2]], strict=True):
        frame = replace(grey, pts=time, duration=after - time, time_base=time_base)
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


def _observe(
    back: InputContainer, look: Look, color: ColorSpec, times: Sequence[Fraction]
) -> Outcome | None:
    video = next((s for s in back.streams.video if not is_picture(s)), None)
    if video is None:
        return None
    others = Counter(identity(s) for s in back.streams if s.index != video.index)
    aspect, chapters = video.sample_aspect_ratio, back.chapters()
    keys = {key.lower() for key in back.metadata}
    frames = list(back.decode(video))
    if not frames:
        return None
    tags, is_rgb = color_of(frames[0], video), frames[0].format.is_rgb
    expected = look.info.sample_aspect_ratio or Fraction(1)
    return Outcome(
        timing=_same_times(frames, times),
        range=is_rgb or (tags.range == Range.FULL) == (color.range == Range.FULL),
        color=_same_color(tags, color, is_rgb),
        fields=look.field_order <= 1 or frames[0].interlaced_frame,
        sample_aspect_ratio=(aspect or Fraction(1)) == expected,
        orientation=_turn(display_matrix(frames[0])) == _turn(look.matrix),
        chapters=len(chapters) == len(look.chapters),
        lost_metadata=tuple(sorted(key for key in look.metadata if key.lower() not in keys)),
        streams=others,
    )


def _same_times(frames: Sequence[VideoFrame], expected: Sequence[Fraction]) -> bool:
    if len(frames) != len(expected) or any(f.pts is None for f in frames):
        return False
    times = [f.pts * f.time_base for f in frames if f.pts is not None and f.time_base]
    steps = [after - before for before, after in pairwise(expected)]
    lengths = [f.duration * f.time_base if f.duration and f.time_base else None for f in frames]
    return all(abs(a - b) <= _EXACT for a, b in zip(times, expected, strict=True)) and all(
        length is None or abs(length - step) <= 2 * _EXACT
        for length, step in zip(lengths, steps, strict=False)
    )


def _same_color(back: ColorSpec, sent: ColorSpec, is_rgb: bool) -> bool:
    matrix = is_rgb or back.matrix == sent.matrix
    return matrix and (back.primaries, back.transfer) == (sent.primaries, sent.transfer)


def identity(stream: Stream) -> tuple[str, str | None]:
    """Kind and codec: what a copied stream must come back as."""
    context = getattr(stream, "codec_context", None)  # PyAV types it as always there
    kind = "picture" if is_picture(stream) else stream.type
    return kind, context.name if context is not None else getattr(stream, "name", None)


def _turn(matrix: tuple[int, ...] | None) -> tuple[int, ...]:
    """Rotation and mirroring of a display matrix, without its shift (players ignore that)."""
    if matrix is None:
        return (1, 0, 0, 1)
    return tuple(round(matrix[place] / (1 << 16)) for place in (0, 1, 3, 4))


def _grey_frame(info: VideoInfo) -> Frame:
    """A flat mid-grey frame in the source's format."""
    shapes = info.format.plane_shapes(info.width, info.height)
    grey = 1 << (info.format.bits - 1)
    planes = tuple(flat(shape, grey, info.format) for shape in shapes)
    return Frame(planes, info.format, info.color, 0, 1, Fraction(1, 25))


def _kind(frame: VideoFrame) -> tuple[object, ...]:
    """Size, model, alpha, and bits and size of each component, whatever the layout in memory."""
    format = planar_format(frame.format.name)
    parts = tuple((part.bits, part.width, part.height) for part in frame.format.components)
    return frame.width, frame.height, frame.format.is_rgb, format and format.alpha, parts


def _reopened(file: io.BytesIO) -> InputContainer:
    file.seek(0)
    return av.open(file, "r", metadata_errors="replace")
