"""Frames -> encode -> mux, under a temporary name that becomes the final one only when complete.

Frames and copied packets come in the order in which the reader gave them. Whatever goes wrong, the
final name is never a half-written file.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from david_cli.errors import OutputError, PipeClosed
from david_cli.files import STEM_LENGTH, is_there, no_folder_for, publish
from david_cli.video.copied import StreamCopy
from david_cli.video.frame import Frame
from david_cli.video.pipes import STANDARD, Y4M, StandardOutput
from david_cli.video.reader import VideoReader
from david_cli.video.source import is_picture, reason
from david_cli.video.streams import OutputPlan, presentation
from david_cli.video.trial import (
    FAILURES,
    MOV_FAMILY,
    Look,
    VideoTrack,
    add_copy,
    add_video,
    video_time_base,
)
from david_cli.video.y4m import Y4mFile


class VideoWriter:
    """Writes one file according to a plan; the header is written with the first frame."""

    warnings: list[str]
    frames_written: int

    def __init__(self, plan: OutputPlan, reader: VideoReader) -> None:
        """Claim a temporary file in the target's folder, or standard output.

        Raises:
            OutputError: the folder is missing or cannot be written to.
            UsageError: standard output is a terminal.
        """
        self.warnings = []
        self.frames_written = 0
        self._plan = plan
        self._reader = reader
        self._place: _File | StandardOutput
        place = StandardOutput if plan.target == STANDARD else partial(_File, plan.target)
        self._place = place(reader.info.sample_aspect_ratio)
        self._output: OutputContainer | None = None
        self._video: VideoTrack
        self._copies: dict[int, StreamCopy] = {}
        self._waiting: list[Packet[Stream]] = []  # that came before the first frame
        self._shift = Fraction(0)
        self._time_base = Fraction(1)
        self._packets = 0  # of the video
        self._last_pts: int | None = None
        self._bumped = 0

    def write(self, frame: Frame) -> None:
        """Encode a frame, at its own time.

        Raises:
            OutputError: the encoder or the disk refuses.
        """
        with self._reported("encoding"):
            if self._output is None:
                self._begin(frame.pts * frame.time_base)
            self._mux_video(self._video.encode(self._retimed(frame)))
            self.frames_written += 1

    def mux(self, packet: Packet[Stream]) -> None:
        """Copy a packet of another stream; one whose stream is not in the plan is left out.

        Raises:
            OutputError: the disk refuses.
        """
        if packet.stream_index not in self._plan.copied:
            return
        if self._output is None:
            self._waiting.append(packet)
            return
        with self._reported("writing"):
            self._mux_copy(packet)

    def finish(self, verify: Callable[[Path], None] | None = None) -> None:
        """Flush, close, check and give the file its final name.

        Args:
            verify: looks at the finished file before it has its name; what it raises undoes all.

        Raises:
            OutputError: no frame was written, the disk is full, or frames are missing.
        """
        if self._output is None:
            self.abort()
            raise OutputError(f"{self._plan.target}: no frame was written")
        with self._reported("finishing"):
            self._flush()
            self._output.close()
            self._check()
            self._collect_warnings()
            if verify is not None and isinstance(self._place, _File):
                verify(self._place.part)
            self._place.keep()

    def abort(self) -> None:
        """Drop everything; may be called at any time, and again."""
        output, self._output = self._output, None
        if output is not None:
            with contextlib.suppress(*FAILURES):
                output.close()
        self._place.drop()

    def forsake(self) -> None:
        """As `abort`, where a thread may still be writing: only the file's name goes."""
        if isinstance(self._place, _File):
            with contextlib.suppress(OSError):
                self._place.part.unlink(missing_ok=True)

    def interrupt(self) -> None:
        """Let a thread that waits for the reader of standard output go on, and fail."""
        if isinstance(self._place, StandardOutput):
            self._place.interrupt()

    @property
    def target(self) -> Path:
        """The final name."""
        return self._plan.target

    @contextlib.contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        """Failures of FFmpeg and of the disk, as one line; nothing stays behind."""
        try:
            yield
        except BrokenPipeError as err:
            self.abort()
            raise PipeClosed from err
        except FAILURES as err:
            self.abort()
            raise OutputError(
                f"{self._plan.target}: {doing} failed after {self.frames_written} frames "
                f"({reason(err)}); check free disk space and the encoder options"
            ) from err
        except OutputError:
            self.abort()
            raise

    def _begin(self, first: Fraction) -> None:
        """Write the header, then the packets that waited for it.

        Args:
            first: time of the first frame in the source, in seconds.
        """
        plan, reader = self._plan, self._reader
        end = None
        if reader.start or reader.end is not None:  # a part: it begins at 0
            self._shift = first
            if reader.end is not None:
                end = (reader.info.start or 0) + reader.end - self._shift
        look = presentation(reader, plan.sample, self._shift, end)
        options = _with_faststart(plan)
        self._output = self._place.open(plan.container, options)
        self._time_base = video_time_base(plan.container, reader.info)
        self._add_streams(self._output, look)
        self._output.start_encoding()
        for packet in self._waiting:
            self._mux_copy(packet)
        self._waiting.clear()

    def _add_streams(self, output: OutputContainer, look: Look) -> None:
        plan = self._plan
        video_index = self._reader.video_stream.index
        for source in self._reader.container.streams:
            if source.index == video_index:
                self._video = self._open_video(output, look)
            elif source.index in plan.copied:
                first = plan.sample.packets.get(source.index, ())
                stream = add_copy(output, source, first)
                if stream is not None:
                    self._copies[source.index] = StreamCopy(stream, plan.container)
        output.metadata.update(look.metadata)
        output.set_chapters(list(look.chapters))  # type: ignore[arg-type]

    def _open_video(self, output: OutputContainer, look: Look) -> VideoTrack:
        return add_video(output, self._plan.encoding, look, self._time_base)

    def _flush(self) -> None:
        """What the encoder still holds."""
        self._mux_video(self._video.encode(None))

    def _retimed(self, frame: Frame) -> Frame:
        """The frame on the output's clock, strictly after the one before."""
        pts = frame.pts - round(self._shift / frame.time_base)
        duration = frame.duration
        if self._time_base != frame.time_base:
            scale = frame.time_base / self._time_base
            pts, duration = round(pts * scale), round(duration * scale)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
            self._bumped += 1
        self._last_pts = pts
        return replace(frame, pts=pts, duration=duration, time_base=self._time_base)

    def _mux_video(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._output is not None
        for packet in packets:
            self._packets += 1
            self._output.mux(packet)

    def _mux_copy(self, packet: Packet[Stream]) -> None:
        assert self._output is not None
        copy = self._copies.get(packet.stream_index)
        if copy is None:
            return  # cover art, written with the header
        for each in copy.shown(packet):
            if copy.place(each, self._shift):
                try:
                    self._output.mux(each)
                except ValueError as err:  # the muxer rejects this packet, not the file
                    copy.rejected = copy.rejected or reason(err)
                    copy.dropped += 1

    def _check(self) -> None:
        """Nothing lost: one packet per frame went in, and as many are in the file."""
        if self._packets != self.frames_written:
            raise OutputError(
                f"{self._plan.target}: the encoder gave {self._packets} packets for "
                f"{self.frames_written} frames; try another --codec"
            )
        found = self._place.frames()
        if found not in (None, self.frames_written):
            raise OutputError(
                f"{self._plan.target}: {found} of {self.frames_written} frames are in the file; "
                "try .mkv"
            )

    def _collect_warnings(self) -> None:
        if self._bumped:
            self.warnings.append(
                f"{self._bumped} frames moved: the container's clock has no place for their times"
            )
        for index, copy in self._copies.items():
            copy.end()
            if copy.dropped:
                why = f" ({copy.rejected})" if copy.rejected else ": their times do not increase"
                self.warnings.append(f"stream {index}: {copy.dropped} packets left out{why}")
            if copy.hidden:
                self.warnings.append(
                    f"stream {index}: {copy.hidden} packets left out: the source does not play "
                    "them, and only .mp4 and .mov can hide them"
                )


class _File:
    """A file beside the target, which takes its name when it is complete."""

    def __init__(self, target: Path, aspect: Fraction | None) -> None:
        self._target = target.absolute()
        self._aspect = aspect
        self._y4m: Y4mFile | None = None
        self.part = _claim(self._target)

    def open(self, container: str, options: dict[str, str]) -> OutputContainer:
        """A muxer that writes here."""
        if container == Y4M:
            self._y4m = Y4mFile(self.part, self._aspect)
        place = self._y4m or str(self.part)
        return av.open(place, "w", format=container, container_options=options)

    def frames(self) -> int:
        """Frames of the video in the finished file."""
        self._close()
        with av.open(str(self.part), metadata_errors="replace") as back:
            video = next(s for s in back.streams.video if not is_picture(s))
            return video.frames or sum(packet.size > 0 for packet in back.demux(video))

    def keep(self) -> None:
        """Give the file its final name."""
        publish(self.part, self._target)

    def drop(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            self._close()
        self.part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._y4m:
            self._y4m.close()


def _claim(target: Path) -> Path:
    """A new empty file beside the target, hidden, of a name nobody has."""
    folder = target.parent
    if not is_there(folder, OutputError) or not folder.is_dir():
        raise no_folder_for(target)
    if is_there(target, OutputError) and target.is_dir():
        raise OutputError(f"{target}: is a folder; give a file name with -o")
    name = f".{target.stem[:STEM_LENGTH]}.{secrets.token_hex(4)}.part{target.suffix}"
    part = folder / name
    try:
        part.touch(exist_ok=False)
    except OSError as err:
        raise OutputError(
            f"{folder}: cannot be written to ({err.strerror}); choose another folder with -o"
        ) from err
    return part


def _with_faststart(plan: OutputPlan) -> dict[str, str]:
    """MP4 and its kin get their index in front, so that players on the web start at once."""
    if plan.container not in MOV_FAMILY:
        return plan.container_options
    flags = f"+faststart{plan.container_options.get('movflags', '')}"
    return {**plan.container_options, "movflags": flags}
