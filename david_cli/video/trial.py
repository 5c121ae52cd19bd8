"""Small rehearsals in memory: does a container keep frames, and all that the file says.

Nothing is believed that was not read back. So no table says which container holds which codec,
timing, rotation or metadata; a new FFmpeg changes the outcome by itself.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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

from david_cli.video.alpha import ENTRY, has_alpha
from david_cli.video.codecs import Encoding, Hdr10
from david_cli.video.deinterlace import FieldOrder
from david_cli.video.frame import ColorSpec, Frame, Range, VideoInfo, same_siting
from david_cli.video.hdr import lost_hdr, read_hdr
from david_cli.video.marks import FrameMarks, field_parity
from david_cli.video.metadata import missing
from david_cli.video.pipes import RAW, RawFormat
from david_cli.video.repack import flat, planar_format, to_video_frame
from david_cli.video.sample import PacketCopy
from david_cli.video.side_data import display_matrix, turn
from david_cli.video.source import (
    chroma_location,
    color_of,
    file_metadata,
    is_picture,
    unknown_codecs,
)

FAILURES = (av.error.FFmpegError, OSError, ValueError, MemoryError)  # what PyAV raises on refusal

MOV_FAMILY = ("mp4", "mov", "ipod", "3gp", "3g2", "f4v", "psp")
ROOMY = ("matroska", "mov")  # between them they hold every codec david writes

_MAX_RATE = 1000  # frames per second; above, a rate is a clock's tick and no rate
_SIZE = (256, 144)  # of a rehearsal: every encoder takes it, DNxHR nothing smaller than 256x120
_EVEN = (0, 1, 2, 3, 4, 5)
_UNEVEN = (0, 1, 2, 5, 6, 9)  # frame times in frame periods
_EXACT = Fraction(1, 1000)  # seconds; Matroska and FLV count milliseconds
_NO_LENGTHS = ("nut",)  # demuxers that give each frame the length that the rate has
_X265_DELAY = 2  # frames that x265 reorders by at most
_DETAILS = ("language", "title", "timecode", "stereo_mode")  # of a stream
_OF_A_FILE = ("filename", "mimetype")  # and of an attached file; that of a cover says nothing
_IMAGE_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


@dataclass(frozen=True)
class Look:
    """What a file says about its picture and itself, beyond the coded frames."""

    info: VideoInfo
    matrix: tuple[int, ...] | None = None
    """Display matrix: rotation and mirroring."""
    field_order: int = 0
    """FFmpeg's AVFieldOrder: 0 says nothing, 1 progressive; above, the frames are interlaced."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of the file."""
    stream_metadata: dict[str, str] = field(default_factory=dict)
    """Of the video stream."""
    disposition: int = 0
    chapters: tuple[dict[str, Any], ...] = ()
    hdr: Hdr10 = field(default_factory=Hdr10)
    """Static HDR metadata, that the encoder's options should write."""


@dataclass(frozen=True)
class Outcome:
    """What came back from a rehearsal."""

    timing: bool
    """Every frame, at its time and with its duration."""
    range: bool
    """Full range, where the source has it: without the tag a picture looks wrong."""
    color: bool
    """Matrix, primaries and transfer."""
    siting: bool
    """Where chroma sits, where there is less of it than of luma."""
    fields: bool
    """Interlacing and the order of fields, where the source tells them."""
    sample_aspect_ratio: bool
    orientation: bool
    chapters: bool
    lost_hdr: tuple[str, ...]
    """Names of the static HDR metadata that did not come back."""
    lost_metadata: tuple[str, ...]
    """Keys of the file's metadata that did not come back, or with another meaning."""
    lost_details: tuple[tuple[str, int], ...]
    """What did not come back of a stream's language, title and dispositions, and its index."""
    streams: Counter[tuple[str, str | None]]
    """Kind and codec of every stream but the first video."""


def nominal_rate(info: VideoInfo) -> Fraction:
    """Frames per second for rate control and headers; times come from the frames' own pts."""
    return info.rate if info.rate and 0 < info.rate <= _MAX_RATE else Fraction(25)


def video_time_base(container: str, info: VideoInfo) -> Fraction:
    """The source's clock; one tick per frame in a container that knows only a fixed rate."""
    variable = FormatFlags.variable_fps in FormatFlags(ContainerFormat(container, "w").flags)
    return info.time_base if variable else 1 / nominal_rate(info)


@dataclass
class VideoTrack:
    """The video stream of an output: takes frames, gives packets."""

    stream: VideoStream
    encoding: Encoding
    marks: FrameMarks
    lengths: dict[int, int] = field(default_factory=dict)
    """Durations of frames inside the encoder, by pts: not every encoder gives them back."""
    packets: int = 0
    """That it gave so far."""

    def encode(self, frame: Frame | None) -> list[Packet[VideoStream]]:
        """Packets ready to mux; None drains the encoder."""
        if frame is None:
            return self._timed(self._drained())
        self.lengths[frame.pts] = frame.duration
        picture = to_video_frame(frame, self.encoding.pix_fmt, self.encoding.color)
        return self._timed(self.stream.encode(self.marks.put(picture)))

    def _drained(self) -> list[Packet[VideoStream]]:
        packets = self.stream.encode(None)
        if self.encoding.encoder == "libx265" and self.packets + len(packets) <= _X265_DELAY:
            for packet in packets:  # x265 leaves the dts of so short a video unset; none reorders
                packet.dts = packet.pts
        return packets

    def _timed(self, packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
        self.packets += len(packets)
        for packet in packets:
            length = self.lengths.pop(packet.pts, 0) if packet.pts is not None else 0
            packet.duration = length or packet.duration
        return packets


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
    context.field_order = look.field_order
    if field_parity(look.field_order):
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    if encoding.codec == "hevc" and output.format.name in MOV_FAMILY:
        context.codec_tag = "hvc1"  # Apple's players know no other
    context.options = dict(encoding.options)
    target = planar_format(encoding.pix_fmt)
    if color.chroma_location and target and target.log2_chroma != (0, 0):
        context.options["chroma_sample_location"] = str(int(color.chroma_location))
    stream.set_display_matrix(look.matrix)
    stream.metadata.update(with_title(look.stream_metadata))
    if target and target.alpha and encoding.codec == "vp9":
        stream.metadata.update(ENTRY)
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
    stream.metadata.update(with_title(source.metadata))
    stream.disposition = source.disposition
    return stream


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
        rate = nominal_rate(look.info)
        raw = RawFormat(width, height, encoding.pix_fmt, rate) if container == RAW else None
        with reopened(file, raw) as back:
            sources = [source for source, _ in copies]
            return _observe(back, small, encoding, [t * time_base for t in times], sources)
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
    grey = grey_frame(look.info)
    for time, after in zip(times, [*times[1:], 2 * times[-1] - times[-2]], strict=True):
        frame = replace(grey, pts=time, duration=after - time, time_base=time_base)
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


def _observe(
    back: InputContainer,
    look: Look,
    encoding: Encoding,
    times: Sequence[Fraction],
    sources: Sequence[Stream],
) -> Outcome | None:
    video = next((s for s in back.streams.video if not is_picture(s)), None)
    if video is None:
        return None
    others = Counter(identity(s) for s in back.streams if s.index != video.index)
    aspect, chapters = video.sample_aspect_ratio, back.chapters()
    packets = list(back.demux(video))
    frames = [frame for packet in packets for frame in video.decode(packet)]
    if not frames:
        return None
    color, sent = encoding.color, planar_format(encoding.pix_fmt)
    format = planar_format(frames[0].format.name)
    if sent and format and sent.alpha and not (format.alpha or any(map(has_alpha, packets))):
        return None
    siting = chroma_location(back, video.index)
    tags, is_rgb = color_of(frames[0], video, siting), frames[0].format.is_rgb
    expected = look.info.sample_aspect_ratio or Fraction(1)
    return Outcome(
        timing=_same_times(frames, times, lengths=back.format.name not in _NO_LENGTHS),
        range=is_rgb or (tags.range == Range.FULL) == (color.range == Range.FULL),
        color=_same_color(tags, color, is_rgb),
        siting=format is None or same_siting(siting, color.chroma_location, format),
        fields=FieldOrder().of(frames[0]) == field_parity(look.field_order),
        sample_aspect_ratio=(aspect or Fraction(1)) == expected,
        orientation=turn(display_matrix(frames[0])) == turn(look.matrix),
        chapters=len(chapters) == len(look.chapters),
        lost_hdr=lost_hdr(look.hdr, read_hdr(frames[0])),
        lost_metadata=missing(look.metadata, file_metadata(back, video.index)),
        lost_details=tuple(_lost_details(back, video, look, sources)),
        streams=others,
    )


def _lost_details(
    back: InputContainer, video: VideoStream, look: Look, sources: Sequence[Stream]
) -> Iterator[tuple[str, int]]:
    """What is missing of each stream, and the index the stream has in the source."""
    wanted = details(look.stream_metadata, look.disposition)
    pairs: list[tuple[int, dict[str, str], Stream]] = [(look.info.video_index, wanted, video)]
    unused: list[Stream] = [s for s in back.streams if s.index != video.index]
    for source in sources:
        found = next((s for s in unused if identity(s) == identity(source)), None)
        if found is not None:
            unused.remove(found)
            wanted = details(source.metadata, int(source.disposition))
            pairs.append((source.index, wanted, found))
    for index, before, stream in pairs:
        after = details(stream.metadata, int(stream.disposition))
        for name, text in before.items():
            if after.get(name) != text:
                yield name, index


def _same_times(
    frames: Sequence[VideoFrame], expected: Sequence[Fraction], *, lengths: bool
) -> bool:
    """Whether frames came back at their times and, where files tell them, with their lengths."""
    if len(frames) != len(expected) or any(f.pts is None for f in frames):
        return False
    times = [f.pts * f.time_base for f in frames if f.pts is not None and f.time_base]
    steps = [after - before for before, after in pairwise(expected)]
    found = [f.duration * f.time_base if f.duration and f.time_base else None for f in frames]
    return all(abs(a - b) <= _EXACT for a, b in zip(times, expected, strict=True)) and all(
        length is None or abs(length - step) <= 2 * _EXACT
        for length, step in zip(found if lengths else (), steps, strict=False)
    )


def _same_color(back: ColorSpec, sent: ColorSpec, is_rgb: bool) -> bool:
    matrix = is_rgb or back.matrix == sent.matrix
    return matrix and (back.primaries, back.transfer) == (sent.primaries, sent.transfer)


def details(metadata: Mapping[str, str], disposition: int) -> dict[str, str]:
    """What a person would miss of a stream: its language, title, file name and dispositions.

    Whether a stream is the default one is left out: some containers always have such a one.
    """
    named = {key.lower(): text for key, text in with_title(metadata).items()}
    is_cover = bool(disposition & Disposition.attached_pic)
    keys = _DETAILS if is_cover else _DETAILS + _OF_A_FILE
    found = {key: named[key] for key in keys if named.get(key, "und") != "und"}
    flags = Disposition(disposition) & ~(Disposition.default | Disposition.attached_pic)
    return found | {f"disposition {flag.name}": "yes" for flag in flags}


def with_title(metadata: Mapping[str, str]) -> dict[str, str]:
    """MP4 and MOV read a stream's title back as ``name``, but write ``title`` alone."""
    found = dict(metadata)
    if "name" in found:
        found.setdefault("title", found.pop("name"))
    return found


def identity(stream: Stream) -> tuple[str, str | None]:
    """Kind and codec: what a copied stream must come back as."""
    context = getattr(stream, "codec_context", None)  # PyAV types it as always there
    kind = "picture" if is_picture(stream) else stream.type
    if context is not None:
        return kind, context.name
    assert isinstance(stream.container, InputContainer)
    return kind, unknown_codecs(stream.container).get(stream.index)


def grey_frame(info: VideoInfo) -> Frame:
    """A flat mid-grey frame in the source's format."""
    shapes = info.format.plane_shapes(info.width, info.height)
    grey = 1 << (info.format.bits - 1)
    planes = tuple(flat(shape, grey, info.format) for shape in shapes)
    return Frame(planes, info.format, info.color, 0, 1, Fraction(1, 25))


def reopened(file: io.BytesIO, raw: RawFormat | None = None) -> InputContainer:
    file.seek(0)
    format, options = (RAW, raw.options) if raw else (None, {})
    return av.open(file, "r", format=format, options=options, metadata_errors="replace")
