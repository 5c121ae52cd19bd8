"""A path -> an open container, the video stream in it, and what a person would want to know."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.errors import InputError
from david_cli.files import is_there, missing
from david_cli.video.frame import ChromaLocation, ColorSpec, Frame, Range, StreamInfo, VideoInfo
from david_cli.video.side_data import display_matrix, turn

_TEXT_FORMAT = "tty"  # FFmpeg's demuxer that renders text files as a video of a terminal
_UNSPECIFIED = 2  # H.273, for matrix, primaries and transfer


def open_source(path: Path) -> InputContainer:
    """Open a file for reading.

    Raises:
        InputError: missing, a folder, empty, not allowed, or nothing that FFmpeg can demux.
    """
    if not is_there(path, InputError):
        raise InputError(missing(path))
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a video, or see 'david batch', 'david frames'")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy or record it again")
    av.logging.set_level(None)  # FFmpeg's log through Python's has deadlocked (PyAV #751)
    try:
        # Absolute: FFmpeg would take a name such as "a:b.mp4" for a protocol. Tags in a foreign
        # encoding are no reason to refuse a video.
        container = av.open(str(path.absolute()), "r", metadata_errors="replace")
    except (av.FFmpegError, OSError) as err:
        if isinstance(err, PermissionError):
            raise InputError(f"{path}: may not be read; check its permissions") from err
        raise InputError(
            f"{path}: is no video, or its header is damaged or cut off ({reason(err)}); "
            "check that a player opens it"
        ) from err
    if container.format.name == _TEXT_FORMAT:
        container.close()
        raise InputError(f"{path}: is a text file, not a video")
    return container


def find_video(container: InputContainer, path: Path | str) -> VideoStream:
    """The first video stream that is not an attached picture.

    Raises:
        InputError: there is none, or FFmpeg has no decoder for it.
    """
    streams = [s for s in container.streams.video if not is_picture(s)]
    if not streams:
        found = "only cover art" if container.streams.video else _kinds(container)
        raise InputError(f"{path}: has no video ({found}); give a file with a video stream")
    # PyAV types codec_context as always there; it is None where no decoder is known.
    if getattr(streams[0], "codec_context", None) is None:
        codec = unknown_codecs(container).get(streams[0].index, "unknown")
        raise InputError(
            f"{path}: no decoder for its video codec ({codec}); convert it to H.264 first"
        )
    return streams[0]


def is_picture(stream: Stream) -> bool:
    """Whether a stream is cover art or the like."""
    return bool(stream.disposition & Disposition.attached_pic)


def reason(error: BaseException) -> str:
    """FFmpeg's own words, without its numbers and file names."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def unknown_codecs(container: InputContainer) -> dict[int, str]:
    """Codecs of streams without a decoder, by index: FFmpeg's names, else four-character codes.

    PyAV hides them with the codec context; FFmpeg's description of the file has them.
    """
    pattern = r"Stream #0:(\d+)\S*: \w+: (\w+)(?:.*?\((.{4}) / 0x)?"
    found = re.findall(pattern, _described(container))
    names = ((int(index), code.strip() if name == "none" else name) for index, name, code in found)
    return {index: name for index, name in names if name}


def file_metadata(container: InputContainer, index: int) -> dict[str, str]:
    """Entries of the file and of the programme (of a transport stream) that a stream is in.

    PyAV has no programmes; FFmpeg's description of the file has them.
    """
    programmes = re.split(r"^  (?=Program \d)", _described(container), flags=re.MULTILINE)[1:]
    about = next((text for text in programmes if re.search(rf"Stream #0:{index}\b", text)), "")
    head = about.partition("Stream #")[0]
    found = re.findall(r"^ {6}(service_\w+) *: (.*)$", head, flags=re.MULTILINE)
    return {**dict(found), **container.metadata}


def unkept_by_container(container: InputContainer, index: int) -> tuple[str, ...]:
    """Losses, for a person: what the container says of a stream and PyAV can neither use nor write.

    FFmpeg's library decodes the whole picture and leaves cropping to players.
    """
    about = _about(container, index)
    lines = []
    if crop := re.search(r"Frame Cropping: ([\d/]+)", about):
        lines.append(
            f"clean aperture (crop {crop[1]} at left/right/top/bottom): no muxer here can write "
            "it; the whole picture is kept"
        )
    if profile := re.search(r"DOVI configuration record: .*?profile: (\d+)", about):
        lines.append(f"Dolby Vision profile {profile[1]}: no muxer here can write its record")
    return tuple(lines)


def chroma_location(container: InputContainer, index: int) -> ChromaLocation:
    """Where a stream says that its chroma sits, or its codec's standard does.

    PyAV has no such field; FFmpeg's description of the file ends its list of colours with it.
    """
    names = "|".join(location.name.lower() for location in ChromaLocation)
    said = re.search(rf"Video: .*[(\s]({names})\), ", _about(container, index))
    return ChromaLocation[said[1].upper()] if said else ChromaLocation.UNSPECIFIED


def _about(container: InputContainer, index: int) -> str:
    """What FFmpeg says of one stream."""
    parts = re.split(r"Stream #0:(?=\d)", _described(container))
    return next((part for part in parts if re.match(rf"{index}\D", part)), "")


def _described(container: InputContainer) -> str:
    """What FFmpeg would print about a file: it knows things for which PyAV has no field."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    av.logging.set_libav_level(av.logging.VERBOSE)  # below it chroma's place is left out
    try:
        text: str = container.dumps_format()  # type: ignore[attr-defined]  # missing in its stub
    finally:
        av.logging.set_libav_level(av.logging.INFO)  # FFmpeg's own
        av.logging.set_level(level)
    return text


def color_of(frame: VideoFrame, stream: VideoStream, siting: ChromaLocation) -> ColorSpec:
    """Colour tags of a decoded frame; where it has none, those of its stream.

    Args:
        siting: what `chroma_location` says of the stream.
    """
    context = stream.codec_context
    full = frame.format.name.startswith("yuvj")
    return ColorSpec(
        matrix=_tag(frame.colorspace, context.colorspace, _UNSPECIFIED),
        range=Range.FULL if full else _tag(frame.color_range, context.color_range, 0),
        primaries=_tag(frame.color_primaries, context.color_primaries, _UNSPECIFIED),
        transfer=_tag(frame.color_trc, context.color_trc, _UNSPECIFIED),
        chroma_location=siting,
    )


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Frames per second, as far as known.

    FFmpeg's average is off by far in some files that neither count their frames nor say how long
    each lasts. It cannot exceed the base rate, whose ticks tell all frames apart.
    """
    average, base = stream.average_rate, stream.base_rate
    if average and base and not stream.frames and average > 2 * base:
        return base
    return average or stream.guessed_rate or None


def describe(
    path: Path, container: InputContainer, stream: VideoStream, picture: VideoFrame, first: Frame
) -> VideoInfo:
    """Collect what the container says and what its first frame shows.

    Args:
        picture: the first frame as decoded, for what only FFmpeg's frame knows.
        first: the same frame, normalised.
    """
    duration = _seconds(stream.duration, stream.time_base) or _seconds(
        container.duration, Fraction(1, av.time_base)
    )
    rate = frame_rate(stream)
    estimate = round(duration * rate) if duration and rate else 0
    names = unknown_codecs(container) if any(map(_undecodable, container.streams)) else {}
    return VideoInfo(
        path=path,
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        source_format=picture.format.name,
        format=first.format,
        color=first.color,
        width=first.width,
        height=first.height,
        time_base=first.time_base,
        rate=rate,
        start=first.pts * first.time_base,
        duration=duration,
        frame_count=stream.frames or estimate or None,
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        rotation=picture.rotation,
        interlaced=first.fields is not None,
        bit_rate=stream.bit_rate or container.bit_rate or None,
        streams=tuple(_describe_stream(s, names) for s in container.streams),
        video_index=stream.index,
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
        fields=first.fields,
        turn=turn(display_matrix(picture)),
    )


def _describe_stream(stream: Stream, names: dict[int, str]) -> StreamInfo:
    codec = names.get(stream.index, "unknown")
    detail = ""
    if not _undecodable(stream):
        codec = stream.codec_context.codec.canonical_name
        if isinstance(stream, VideoStream):
            detail = f"{stream.width}x{stream.height}"
        elif isinstance(stream, AudioStream):
            detail = f"{stream.sample_rate} Hz {stream.layout.name}"
    language = stream.metadata.get("language")
    return StreamInfo(
        index=stream.index,
        kind=_kind(stream),
        codec=codec,
        language=None if language == "und" else language,
        title=stream.metadata.get("title") or stream.metadata.get("filename"),
        detail=detail,
    )


def _kind(
    stream: Stream,
) -> Literal["video", "picture", "audio", "subtitle", "data", "attachment"]:
    if stream.type == "unknown":
        return "data"
    return "picture" if is_picture(stream) else stream.type


def _kinds(container: InputContainer) -> str:
    return "only " + ", ".join(
        sorted({s.type for s in container.streams}) or ["an empty container"]
    )


def _undecodable(stream: Stream) -> bool:
    return getattr(stream, "codec_context", None) is None


def _tag(of_frame: int, of_stream: int, unspecified: int) -> int:
    return int(of_stream if of_frame == unspecified else of_frame)


def _seconds(ticks: int | None, time_base: Fraction | None) -> Fraction | None:
    return ticks * time_base if ticks and time_base else None
