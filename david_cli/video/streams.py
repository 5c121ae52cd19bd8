"""Everything around the picture: which container, what is kept beside the frames, what is lost.

A plan is made before the first frame is computed, by rehearsing (see trial.py), so that nobody
learns after an hour that a container refuses the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.format import ContainerFormat
from av.stream import Discard, Stream

from david_cli.errors import OutputError, UsageError
from david_cli.video.codecs import CODECS, Encoding
from david_cli.video.containers import FALLBACK, choose_container, muxer_of, timing_options
from david_cli.video.frame import ColorSpec, VideoInfo
from david_cli.video.hdr import kept_hdr
from david_cli.video.marks import FIELD_ORDERS, PROGRESSIVE, UNKNOWN, field_parity
from david_cli.video.match import Match, match_source
from david_cli.video.metadata import lasting
from david_cli.video.pipe_formats import choose_stream, format_name, is_stream, takes_codec
from david_cli.video.pipes import STANDARD
from david_cli.video.reader import VideoReader
from david_cli.video.sample import PacketCopy, Sample, take_sample
from david_cli.video.source import file_metadata
from david_cli.video.trial import Look, Outcome, identity, rehearse
from david_cli.video.wishes import EncodeOptions

__all__ = ["EncodeOptions", "OutputPlan", "default_target", "plan_output", "presentation"]


@dataclass(frozen=True)
class OutputPlan:
    """What will be written, and what cannot be."""

    target: Path
    container: str
    """FFmpeg's muxer."""
    codec: str
    encoder: str
    """FFmpeg's encoder."""
    pix_fmt: str
    options: dict[str, str]
    """Of the encoder."""
    copied: tuple[int, ...]
    """Indices of the source's streams whose packets are copied."""
    kept: tuple[str, ...] = ()
    """Lines for a person: what comes over unchanged."""
    losses: tuple[str, ...] = ()
    """Lines for a person: what the container cannot hold."""
    notes: tuple[str, ...] = ()
    """Lines for a person: where a choice differs from what one would expect."""
    color: ColorSpec = field(default_factory=ColorSpec)
    """Tags of the output."""
    container_options: dict[str, str] = field(default_factory=dict)
    sample: Sample = field(default_factory=Sample, repr=False)

    @property
    def encoding(self) -> Encoding:
        return Encoding(self.codec, self.encoder, self.pix_fmt, self.options, self.color)


def plan_output(
    reader: VideoReader,
    target: Path | None,
    options: EncodeOptions,
    sample: Sample | None = None,
) -> OutputPlan:
    """Decide how a source will be written.

    Args:
        reader: The open source.
        target: Where to; None is ``<name>.sharp.<ext>`` beside the source. A container that cannot
            hold the result becomes .mkv, so the plan's target is the one that counts. ``-`` is
            standard output.
        options: What the user asked for.
        sample: The source's beginning, where it is known already.

    Raises:
        UsageError: an unknown codec or format, or no target for a source without a name.
        OutputError: the target is the source, or what was asked for cannot be encoded.
    """
    sample = sample or take_sample(reader)
    look = presentation(reader, sample)
    wanted = target if target is not None else default_target(reader)
    match = Match(options)
    if options.match_source and takes_codec(wanted, look.info, options):
        match = match_source(reader, options, sample.hdr)
    options = match.options
    choose = choose_stream if is_stream(wanted, options) else choose_container
    path, container, encoding, notes = choose(wanted, look, sample, options)
    if reader.is_file(path):
        raise OutputError(f"{path}: is the source itself; choose another name with -o")
    container_options = timing_options(container, look.info, reader.copied_streams)
    stage = _Stage(container, container_options, encoding, look, sample)
    streams = [s for s in reader.copied_streams if not _is_made_by_muxer(s, look)]
    kept = stage.fitting(streams)
    stage, outcome = stage.with_all_metadata(kept)
    if encoding.codec in ("ffv1", "y4m"):  # in each frame, where PyAV does not look; see pipes.py
        outcome = replace(outcome, sample_aspect_ratio=True)
    lost = [s for s in streams if s not in kept]
    name = format_name(container) if path == STANDARD else path.suffix[1:].upper()
    losses = _stream_losses(stage, name, lost, reader.info)
    losses += _other_losses(outcome, look, name, encoding.codec) + _detail_losses(outcome, name)
    losses += sample.unkept
    return OutputPlan(
        target=path,
        container=container,
        codec=encoding.codec,
        encoder=encoding.encoder,
        pix_fmt=encoding.pix_fmt,
        options=encoding.options,
        copied=tuple(stream.index for stream in kept),
        kept=(*match.kept, *_kept(kept, outcome, look)),
        losses=tuple(losses),
        notes=(*reader.notes, *match.notes, *encoding.notes, *notes),
        color=encoding.color,
        container_options=stage.options,
        sample=sample,
    )


def presentation(
    reader: VideoReader, sample: Sample, shift: Fraction = Fraction(0), end: Fraction | None = None
) -> Look:
    """What the source says beside its frames.

    Args:
        reader: The open source.
        sample: Its beginning.
        shift: Seconds by which everything moves towards zero.
        end: Where the output ends, in seconds of the output; None is the source's end.
    """
    stream = reader.video_stream
    return Look(
        info=reader.info,
        matrix=sample.matrix,
        field_order=_field_order(reader),
        metadata=lasting(file_metadata(reader.container, stream.index)),
        stream_metadata=lasting(stream.metadata),
        disposition=int(stream.disposition),
        chapters=tuple(_chapters(reader, shift, end)),
        hdr=sample.hdr,
    )


def _field_order(reader: VideoReader) -> int:
    """FFmpeg's AVFieldOrder of the frames that will be written: the stream's, if frames agree."""
    fields = reader.info.fields
    if fields is None:
        return UNKNOWN
    if reader.deinterlaces:
        return PROGRESSIVE
    labelled = reader.video_stream.codec_context.field_order
    return labelled if field_parity(labelled) == fields else FIELD_ORDERS[fields]


def _chapters(reader: VideoReader, shift: Fraction, end: Fraction | None) -> list[dict[str, Any]]:
    chapters = []
    for chapter in reader.container.chapters():
        base = chapter["time_base"] or Fraction(1, av.time_base)
        first, last = (max(chapter[k] * base - shift, Fraction(0)) for k in ("start", "end"))
        if last == 0 or (end is not None and first >= end):
            continue
        last = last if end is None else min(last, end)
        times = {"start": round(first / base), "end": round(last / base), "time_base": base}
        chapters.append({**chapter, **times})
    return chapters


def default_target(reader: VideoReader) -> Path:
    """``<name>.sharp.<ext>``; the extension is the source's own unless that is a wrong one."""
    if reader.pipe:
        raise UsageError(f"{reader.name} has no name to make one from; say where to with -o")
    source, known = reader.info.path, reader.container.format.extensions
    suffix = source.suffix
    if not suffix:
        suffix = ".mkv"
    elif known and not _names(suffix) & known:
        suffix = f".{next(iter(known))}" if len(known) == 1 else ".mkv"
        if "mp4" in known:
            quicktime = reader.container.metadata.get("major_brand", "").startswith("qt")
            suffix = ".mov" if quicktime else ".mp4"
    return source.with_name(f"{source.stem}.sharp{suffix}")


def _names(suffix: str) -> set[str]:
    """An extension and those that name the same container."""
    muxer = muxer_of(Path(f"david{suffix}"))
    same = ContainerFormat(muxer, "w").extensions if muxer else set()
    return {suffix[1:].lower(), *same}


def _is_made_by_muxer(stream: Stream, look: Look) -> bool:
    """MOV and MP4 store chapters and the picture's timecode as tracks too; the muxer makes both."""
    if identity(stream) == ("data", "tmcd"):
        return stream.metadata.get("timecode") == look.stream_metadata.get("timecode")
    return stream.type == "data" and stream.discard == Discard.all and bool(look.chapters)


@dataclass(frozen=True)
class _Stage:
    """A container being tried with more and more of the source in it."""

    container: str
    options: dict[str, str]
    encoding: Encoding
    look: Look
    sample: Sample

    def outcome(self, streams: Sequence[Stream]) -> Outcome | None:
        copies: list[tuple[Stream, Sequence[PacketCopy]]] = [
            (stream, self.sample.packets.get(stream.index, ())) for stream in streams
        ]
        uneven = self.sample.variable_rate
        return rehearse(
            self.container, self.options, self.encoding, self.look, copies, uneven=uneven
        )

    def holds(self, streams: Sequence[Stream]) -> bool:
        outcome = self.outcome(streams)
        return outcome is not None and Counter(map(identity, streams)) <= outcome.streams

    def fitting(self, streams: Sequence[Stream]) -> list[Stream]:
        """Those of the streams that the container holds together."""
        if self.holds(streams):
            return list(streams)
        fitting: list[Stream] = []
        for stream in streams:
            if self.holds([*fitting, stream]):
                fitting.append(stream)
        return fitting

    def with_all_metadata(self, streams: Sequence[Stream]) -> tuple[_Stage, Outcome]:
        """The stage and its outcome; MP4 and MOV keep unknown keys only when told to, and then
        no cover art."""
        plain = self.outcome(streams)
        assert plain is not None
        if plain.lost_metadata:
            flags = {**self.options, "movflags": "+use_metadata_tags"}
            stage = replace(self, options=flags)
            full = stage.outcome(streams)
            if (
                full is not None
                and len(full.lost_metadata) < len(plain.lost_metadata)
                and Counter(map(identity, streams)) <= full.streams
            ):
                return stage, full
        return self, plain


def _stream_losses(stage: _Stage, name: str, lost: Sequence[Stream], info: VideoInfo) -> list[str]:
    coded = stage.encoding
    if coded.codec not in CODECS:  # pictures as they are, which a pipe takes and no file like MKV
        coded = replace(coded, codec="ffv1", encoder="ffv1")
    fallback = replace(stage, container=FALLBACK, options={}, encoding=coded)
    lines = []
    for stream in lost:
        able = stage.container != FALLBACK and fallback.holds([stream])
        advice = "; MKV can" if able else "" if stage.container == FALLBACK else ", nor can MKV"
        lines.append(f"{_describe(info, stream.index)}: {name} cannot hold it{advice}")
    return lines


def _other_losses(outcome: Outcome, look: Look, name: str, codec: str) -> list[str]:
    lines = []
    if not outcome.timing:
        lines.append("uneven times of the frames")
    if not outcome.range:
        lines.append("full range")
    if not outcome.color:
        lines.append("colour tags (matrix, primaries or transfer)")
    if not outcome.siting:
        lines.append("place of chroma samples")
    if not outcome.fields:
        lines.append("interlacing")
    lines.extend(outcome.lost_hdr)
    if not outcome.sample_aspect_ratio:
        lines.append(f"sample aspect ratio {look.info.sample_aspect_ratio}")
    if not outcome.orientation:
        lines.append(f"rotation {look.info.rotation} or mirroring")
    if not outcome.chapters:
        lines.append(f"{len(look.chapters)} chapters")
    if outcome.lost_metadata:
        lines.append(f"metadata {', '.join(outcome.lost_metadata)}")
    return [f"{line}: {codec} in {name} cannot hold it" for line in lines]


def _detail_losses(outcome: Outcome, name: str) -> list[str]:
    """One line for each thing that streams lose, such as ``title of streams 1, 2``."""
    streams: dict[str, list[str]] = {}
    for what, index in outcome.lost_details:
        streams.setdefault(what, []).append(str(index))
    return [
        f"{what} of stream{'s' * (len(of) > 1)} {', '.join(of)}: {name} cannot hold it"
        for what, of in streams.items()
    ]


def _kept(streams: Sequence[Stream], outcome: Outcome, look: Look) -> list[str]:
    lines = [_describe(look.info, stream.index) for stream in streams]
    if look.info.sample_aspect_ratio not in (None, 1) and outcome.sample_aspect_ratio:
        lines.append(f"sample aspect ratio {look.info.sample_aspect_ratio}")
    lines += [line for line in kept_hdr(look.hdr) if not line.startswith(outcome.lost_hdr)]
    if look.matrix is not None and outcome.orientation:
        lines.append(f"display matrix (rotation {look.info.rotation})")
    if look.chapters and outcome.chapters:
        lines.append(f"{len(look.chapters)} chapters")
    if kept := len(look.metadata) - len(outcome.lost_metadata):
        lines.append(f"{kept} metadata entries")
    return lines


def _describe(info: VideoInfo, index: int) -> str:
    """E.g. ``audio stream 1 (aac, eng)``."""
    stream = info.streams[index]
    details = [text for text in (stream.codec, stream.language, stream.title) if text]
    return f"{stream.kind} stream {index}" + (f" ({', '.join(details)})" if details else "")
