"""Alpha of VP8 and VP9: a picture of its own in the additions of Matroska's blocks.

FFmpeg's own decoders leave it out; libvpx's decode it with the colours. As FFmpeg does, `libvpx`
keeps back frames without alpha once there was one with it, so these are looked out for.
"""

from __future__ import annotations

from typing import Any, cast

from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

ENTRY = {"alpha_mode": "1"}
"""Of the metadata of a stream: by it players, and Matroska's muxer, know that there is alpha."""

_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def has_alpha(packet: Packet[Any]) -> bool:
    """Whether a packet carries alpha beside its picture."""
    return packet.has_sidedata("matroska_block_additional")


def decoder_of(stream: VideoStream, first: Packet[Any]) -> VideoCodecContext:
    """What decodes a stream with its alpha.

    Args:
        first: the stream's first packet to decode; where it has no alpha, none is looked for.
    """
    name = _DECODERS.get(stream.codec_context.codec.canonical_name)
    if name is None or not has_alpha(first):
        return stream.codec_context
    return cast("VideoCodecContext", CodecContext.create(name, "r"))


def decode_all(container: InputContainer, stream: VideoStream) -> list[VideoFrame]:
    """All pictures of a short stream, with their alpha."""
    decoder: VideoCodecContext | None = None
    frames: list[VideoFrame] = []
    for packet in container.demux(stream):
        decoder = decoder or decoder_of(stream, packet)
        frames += decoder.decode(packet)
    return frames
