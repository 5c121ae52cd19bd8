"""The reader delivers exactly what a plain decode does, and says clearly when it cannot."""

from __future__ import annotations

import io
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from david_cli.errors import InputError, UsageError
from david_cli.video.frame import ChromaLocation, Frame, Matrix, Range
from david_cli.video.glance import glance
from david_cli.video.reader import VideoReader, read_info

RATE = 25
SAMPLES = 48000 // RATE  # of audio for each picture
Picture = tuple[int | None, list[NDArray[np.generic]]]


def make_clip(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    frames: int = 30,
    size: tuple[int, int] = (64, 48),
    audio: str | None = None,
    audio_first: bool = False,
    options: dict[str, str] | None = None,
    form: str | None = None,
    damage: Callable[[int, bytes], bytes] | None = None,
    setup: Callable[[av.container.OutputContainer, av.VideoStream], None] | None = None,
) -> Path:
    """A small moving clip. `damage` may change the bytes of a coded picture."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (size[1] + frames, size[0], 3)).astype(np.uint8) // 2
    with av.open(path, "w", format=form) as target:
        sound = target.add_stream(audio, rate=48000) if audio and audio_first else None
        video = target.add_stream(codec, rate=RATE, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        if audio and not audio_first:
            sound = target.add_stream(audio, rate=48000)
        if setup:
            setup(target, video)
        count = 0

        def mux(packets: list[Packet]) -> None:
            nonlocal count
            for packet in packets:
                if damage:
                    coded = Packet(damage(count, bytes(packet)))
                    coded.pts, coded.dts, coded.duration = packet.pts, packet.dts, packet.duration
                    coded.time_base, coded.stream = packet.time_base, video
                    coded.is_keyframe = packet.is_keyframe
                    packet = coded
                count += 1
                target.mux(packet)

        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(noise[i : i + size[1]]), "rgb24"
            )
            frame = frame.reformat(format=pix_fmt, threads=1)
            frame.pts = i
            mux(video.encode(frame))
            if sound:
                samples = np.sin(np.arange(2 * SAMPLES) * 0.05 + i).astype(np.float32)[None] * 9000
                chunk = av.AudioFrame.from_ndarray(samples.astype(np.int16), "s16", "stereo")
                chunk.rate, chunk.pts = 48000, i * SAMPLES
                target.mux(sound.encode(chunk))
        mux(video.encode())
        if sound:
            target.mux(sound.encode())
    return path


def plain(path: Path) -> list[Picture]:
    """The contract: what a bare loop over the file gives, up to its first exception."""
    pictures: list[Picture] = []
    with av.open(path) as source:
        stream = next(
            s for s in source.streams.video if not s.disposition & Disposition.attached_pic
        )
        try:
            for frame in source.decode(stream):
                planes = [np.array(np.from_dlpack(plane)) for plane in frame.planes]
                pictures.append((frame.pts, planes))
        except av.FFmpegError:
            pass
    return pictures


def read(path: Path, **cut: Fraction) -> tuple[list[Frame], list[Packet], VideoReader]:
    frames: list[Frame] = []
    packets: list[Packet] = []
    with VideoReader(path, **cut) as reader:
        for item in reader.items():
            if isinstance(item, Frame):
                frames.append(item)
            else:
                packets.append(item)
    return frames, packets, reader


def assert_same(frames: list[Frame], pictures: list[Picture]) -> None:
    assert len(frames) == len(pictures)
    for frame, (_, planes) in zip(frames, pictures, strict=True):
        for got, want in zip(frame.planes, planes, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "audio"),
    [
        ("a.mp4", "libx264", "yuv420p", "aac"),
        ("a.mkv", "ffv1", "yuv444p10le", None),
        ("a.mov", "prores_ks", "yuv422p10le", "pcm_s16le"),
        ("a.ts", "mpeg2video", "yuv420p", "mp2"),
        ("a.mkv", "mjpeg", "yuvj420p", "libopus"),
        ("a.avi", "mpeg4", "yuv420p", "libmp3lame"),
        ("a.mkv", "libx265", "gray10le", None),
        ("a.webm", "libvpx-vp9", "yuv440p", "libopus"),
    ],
)
def test_frames_and_times_are_those_of_a_plain_decode(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, audio: str | None
) -> None:
    path = (
        make_clip(tmp_path / name, codec, pix_fmt, size=(51, 37), audio=audio)
        if (codec in ("ffv1", "mjpeg", "libvpx-vp9"))
        else make_clip(tmp_path / name, codec, pix_fmt, audio=audio)
    )
    frames, packets, reader = read(path)
    pictures = plain(path)
    assert len(frames) == 30
    assert [f.pts for f in frames] == [pts for pts, _ in pictures]
    assert_same(frames, pictures)
    assert reader.stopped is None and reader.warnings == []
    assert bool(packets) == bool(audio)


def test_packed_formats_arrive_planar(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", "rawvideo", "bgr24", frames=3, size=(9, 5))
    frames, _, _ = read(path)
    assert frames[0].format.name == "gbrp"
    for frame, (_, (packed,)) in zip(frames, plain(path), strict=True):
        green, blue, red = frame.planes
        np.testing.assert_array_equal(np.dstack([blue, green, red]), packed)


def test_the_last_frames_come_out_where_video_is_not_the_first_stream(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", audio="aac", audio_first=True)
    frames, packets, reader = read(path)
    assert reader.info.video_index == 1
    assert len(frames) == 30 and reader.stopped is None  # libx264 holds B-frames back
    assert {p.stream_index for p in packets} == {0}


def test_packets_of_other_streams_come_untouched(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", audio="aac")
    _, packets, _ = read(path)
    with av.open(path) as source:
        want = [(p.pts, p.dts, bytes(p)) for p in source.demux(audio=0) if p.size]
    assert [(p.pts, p.dts, bytes(p)) for p in packets] == want


def _spoil_from(first: int) -> Callable[[int, bytes], bytes]:
    return lambda index, data: b"\xff" * len(data) if index >= first else data


def test_frames_up_to_the_damage_and_all_other_packets(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.webm", "libvpx-vp9", audio="libopus")
    path = make_clip(tmp_path / "a.webm", "libvpx-vp9", audio="libopus", damage=_spoil_from(17))
    frames, packets, reader = read(path)
    pictures = plain(path)
    assert len(pictures) == 17
    assert_same(frames, pictures)
    assert len(packets) == len(read(whole)[1])
    assert reader.stopped is not None
    assert reader.stopped.startswith("frame 17 (0.680 s): Invalid data")


def test_a_file_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", audio="libopus")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, _, _ = read(path)
    assert 0 < len(frames) < 30
    assert_same(frames, plain(path))


def test_raw_h264_gets_times_from_its_rate(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.264", options={"preset": "fast"})
    frames, _, reader = read(path)
    assert all(pts is None for pts, _ in plain(path))
    assert_same(frames, plain(path))
    steps = {(b.pts - a.pts) * a.time_base for a, b in pairwise(frames)}
    assert steps == {Fraction(1, RATE)}
    assert "30" in reader.warnings[0]


def test_transport_streams_put_end_to_end_play_on(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", "mpeg2video", frames=60, audio="mp2")
    path.write_bytes(path.read_bytes() * 2)
    frames, packets, reader = read(path)
    assert_same(frames, plain(path))
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    assert all(a.dts < b.dts for a, b in pairwise(packets))  # type: ignore[operator]
    ends = [float(x.pts * x.time_base) for x in (frames[-1], packets[-1])]
    assert ends[0] - float(reader.info.start or 0) == pytest.approx(120 / RATE, abs=0.1)
    assert ends[0] == pytest.approx(ends[1], abs=0.1)
    assert "restarts" in reader.warnings[0]


def test_a_change_of_size_ends_the_video_with_a_word(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "b.ts", "mpeg2video", size=(32, 48))
    path = make_clip(tmp_path / "a.ts", "mpeg2video")
    path.write_bytes(path.read_bytes() + small.read_bytes())
    frames, _, reader = read(path)
    assert_same(frames, [p for p in plain(path) if p[1][0].shape == (48, 64)])
    assert len(frames) > 25
    assert reader.stopped is not None and "64x48 yuv420p to 32x48 yuv420p" in reader.stopped
    assert reader.stopped.startswith(f"frame {len(frames)} ({len(frames) / RATE:.3f} s)")


def test_a_grey_picture_among_colour_ones_is_neutral(tmp_path: Path) -> None:
    path = tmp_path / "a.mjpeg"
    ramp = Image.linear_gradient("L").resize((32, 16))
    stream = io.BytesIO()
    for picture in (ramp.convert("RGB"), ramp, ramp.convert("RGB")):
        picture.save(stream, "JPEG", quality=95)
    path.write_bytes(stream.getvalue())
    frames, _, reader = read(path)
    assert [f.format.name for f in frames] == ["yuv420p"] * 3 and reader.stopped is None
    assert np.all(frames[1].planes[1] == 128) and frames[1].planes[1].shape == (8, 16)
    assert frames[0].color.chroma_location == ChromaLocation.CENTER


def test_colour_tags_come_from_the_frames(tmp_path: Path) -> None:
    tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited"
    options = {"x265-params": tags}
    path = make_clip(tmp_path / "a.mkv", "libx265", "yuv420p10le", frames=3, options=options)
    color = read(path)[0][2].color
    assert (color.matrix, color.primaries, color.transfer) == (Matrix.BT2020_NCL, 9, 16)
    assert color.range == Range.LIMITED and color.hdr


def test_the_full_range_of_yuvj_becomes_a_tag(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", "mjpeg", "yuvj422p", frames=2)
    info = read_info(path)
    assert (info.source_format, info.format.name) == ("yuvj422p", "yuv422p")
    assert info.color.range == Range.FULL


def test_a_rate_that_cannot_be_is_not_believed(tmp_path: Path) -> None:
    """FFmpeg's average of a DV stream is 60000 frames a second."""
    path = make_clip(tmp_path / "a.dv", "dvvideo", frames=8, size=(720, 576))
    info = read_info(path)
    assert info.rate == RATE
    assert info.frame_count == glance(path).frames == round(RATE * (info.duration or 0))


def test_info_says_what_the_file_holds(tmp_path: Path) -> None:
    def setup(target: av.container.OutputContainer, video: av.VideoStream) -> None:
        video.set_display_rotation(90)
        video.codec_context.sample_aspect_ratio = Fraction(16, 11)
        target.metadata["title"] = "A clip"
        target.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {}}]
        )

    info = read_info(make_clip(tmp_path / "a.mp4", audio="aac", setup=setup))
    assert (info.width, info.height, info.codec, info.container[:3]) == (64, 48, "h264", "mov")
    assert info.rotation == 90 and info.sample_aspect_ratio == Fraction(16, 11)
    assert (info.rate, info.frame_count, info.duration) == (RATE, 30, Fraction(30, RATE))
    assert info.chapters == 1 and info.metadata["title"] == "A clip" and not info.interlaced
    assert [(s.kind, s.codec) for s in info.streams] == [("video", "h264"), ("audio", "aac")]
    assert info.streams[1].detail == "48000 Hz stereo" and info.start == 0


def _mux_silence(target: av.container.OutputContainer, sound: av.AudioStream) -> None:
    chunk = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "stereo")
    chunk.rate, chunk.pts = 48000, 0
    target.mux(sound.encode(chunk))
    target.mux(sound.encode())


def _add_cover(target: av.container.OutputContainer) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (32, 32)).save(picture, "PNG")
    cover = target.add_stream("png", rate=1, width=32, height=32, pix_fmt="rgb24")
    cover.disposition = Disposition.attached_pic
    packet = Packet(picture.getvalue())
    packet.stream, packet.time_base, packet.is_keyframe = cover, Fraction(1), True
    packet.pts = packet.dts = 0
    target.mux(packet)
    return picture.getvalue()


def _cover_only(path: Path) -> None:
    with av.open(path, "w") as target:
        sound = target.add_stream("aac", rate=48000, layout="stereo")
        _add_cover(target)
        _mux_silence(target, sound)


def _unknown_codec(path: Path) -> None:
    make_clip(path, frames=3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9"))


def _no_frame(path: Path) -> None:
    make_clip(path, "libvpx-vp9", frames=3, damage=_spoil_from(0))


def _float(path: Path) -> None:
    make_clip(path, "exr", "gbrpf32le", frames=1, form="image2")


def _audio_only(path: Path) -> None:
    with av.open(path, "w") as target:
        _mux_silence(target, target.add_stream("aac", rate=48000, layout="stereo"))


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("missing.mp4", lambda path: None, "no such file"),
        ("folder.mp4", Path.mkdir, "is a folder"),
        ("zero.mp4", Path.touch, "is empty"),
        ("text.mp4", lambda path: path.write_text("no video at all\n" * 99), "is no video"),
        ("text.txt", lambda path: path.write_text("no video at all\n" * 99), "is a text file"),
        ("random.mkv", lambda path: path.write_bytes(bytes(range(256)) * 99), "is no video"),
        ("sound.m4a", _audio_only, "has no video (only audio)"),
        ("cover.mp4", _cover_only, "only cover art"),
        ("codec.mp4", _unknown_codec, "video codec (zzz9)"),
        ("broken.mkv", _no_frame, "no video frame can be decoded (Invalid data"),
        ("float.exr", _float, "gbrpf32le"),
    ],
)
def test_what_cannot_be_read_says_so_in_one_line(
    tmp_path: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError) as caught:
        VideoReader(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and words in message and "\n" not in message


def test_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_clip(tmp_path / "a.mp4", frames=2).rename("rtp:1 - 100%.mp4")
    assert read_info(Path(path.name)).frame_count == 2


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 seconds with a key frame every two, and open groups of B-frames between them."""
    return make_clip(
        tmp_path_factory.mktemp("cut") / "a.mp4",
        frames=500,
        size=(32, 32),
        audio="aac",
        options={"x264-params": "keyint=50:open-gop=1:bframes=3", "preset": "veryfast"},
    )


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, "1.2"), ("0.5", "0.9"), ("1.96", "2.12"), ("7.99", None), ("19.96", "99"), ("4", "12")],
)
def test_a_part_is_a_slice_of_the_whole(
    long_clip: Path, start: str | None, end: str | None
) -> None:
    cut = {k: Fraction(v) for k, v in (("start", start), ("end", end)) if v is not None}
    begin, stop = cut.get("start", Fraction(0)), cut.get("end", Fraction(1000))
    whole, sound, _ = read(long_clip)
    frames, packets, reader = read(long_clip, **cut)
    want = [f for f in whole if begin <= f.pts * f.time_base < stop]
    assert [f.pts for f in frames] == [f.pts for f in want] and want
    assert_same(frames, [(f.pts, list(f.planes)) for f in want])

    def touches(packet: Packet) -> bool:
        time, length = (x * packet.time_base for x in (packet.pts or 0, packet.duration or 0))
        return time < stop and (not begin or time + length > begin)

    assert [p.pts for p in packets] == [p.pts for p in sound if touches(p)]
    assert reader.stopped is None and reader.info.start == 0


def test_a_part_of_a_stream_without_index_or_times(tmp_path: Path) -> None:
    for name in ("a.264", "a.ts"):
        path = make_clip(tmp_path / name, frames=60)
        whole, _, _ = read(path)
        frames, _, _ = read(path, start=Fraction(1), end=Fraction(2))
        assert [f.pts for f in frames] == [f.pts for f in whole[25:50]]
        assert_same(frames, [(f.pts, list(f.planes)) for f in whole[25:50]])


def test_a_part_keeps_the_cover_art(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=60)
    path = tmp_path / "a.mp4"
    with av.open(clip) as source, av.open(path, "w") as target:
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        picture = _add_cover(target)
        for coded in source.demux(video=0):
            if coded.size:
                coded.stream = video
                target.mux(coded)
    for cut in ({}, {"start": Fraction(1)}):
        frames, packets, reader = read(path, **cut)
        assert len(frames) == (35 if cut else 60)
        assert [bytes(p) for p in packets] == [picture]
        assert [s.kind for s in reader.info.streams] == ["video", "picture"]


def test_impossible_parts(long_clip: Path) -> None:
    with pytest.raises(InputError, match=r"no frame from 21 s on \(it ends at 20 s\)"):
        VideoReader(long_clip, start=Fraction(21))
    for cut in ({"start": Fraction(-1)}, {"start": Fraction(3), "end": Fraction(3)}):
        with pytest.raises(UsageError):
            VideoReader(long_clip, **cut)


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_leaving_early_closes(long_clip: Path, error: type[BaseException] | None) -> None:
    def leave_early() -> None:
        with VideoReader(long_clip) as reader:
            for count, _ in enumerate(reader.items()):
                if count == 20:
                    if error:
                        raise error
                    break
        assert reader.container.streams is not None
        reader.close()
        assert list(reader.items()) == []

    if error:
        with pytest.raises(error):
            leave_early()
    else:
        leave_early()


def test_closing_from_another_thread_ends_the_iteration(long_clip: Path) -> None:
    reader = VideoReader(long_clip)
    seen = threading.Event()
    ended = threading.Event()

    def work() -> None:
        for _ in reader.items():
            seen.set()
        ended.set()

    worker = threading.Thread(target=work)
    worker.start()
    assert seen.wait(10)
    reader.close()
    worker.join(10)
    assert ended.is_set()


def _peak_bytes(items: Iterator[object]) -> int:
    tracemalloc.start()
    try:
        for _ in items:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    peaks = []
    for frames in (30, 300):
        path = make_clip(
            tmp_path / f"{frames}.mkv", "mjpeg", "yuvj420p", frames=frames, size=(160, 90)
        )
        with VideoReader(path) as reader:
            peaks.append(_peak_bytes(reader.items()))
    assert peaks[1] < peaks[0] * 1.3  # ten times the frames


def _outcome(path: Path) -> str:
    """Compare a file with its plain decode; returns what became of it."""
    try:
        pictures = plain(path)
    except (av.FFmpegError, StopIteration):
        pictures = []
    if not pictures:
        with pytest.raises(InputError, match=r"^[^\n]+$"):
            VideoReader(path)
        return "error"
    frames, _, reader = read(path)
    assert len(frames) == len(pictures)
    times = [pts for pts, _ in pictures]
    if None not in times and all(a < b for a, b in pairwise(times)):  # type: ignore[operator]
        assert [f.pts for f in frames] == times
    else:
        assert reader.warnings
    for frame, (_, planes) in zip(frames, pictures, strict=True):
        assert all(a.pts < b.pts for a, b in pairwise(frames))
        assert sum(int(p.sum()) for p in frame.planes) == sum(int(p.sum()) for p in planes)
    return "stopped" if reader.stopped else "read"


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("corrupt__corrupted.mp4", "stopped"),
        ("gen__bad_truncated_mid_packet.ts", "read"),
        ("attpic__h264-png.mkv", "read"),
        ("auxtracks__sample_with_fake_auxiliary_tracks.mp4", "read"),
        ("oddname__file+with+data&streams=works?.mp4", "read"),
        ("stub-mov__QuickTime.mov", "error"),
    ],
)
def test_awkward_files(shared_data: Path, name: str, outcome: str) -> None:
    assert _outcome(shared_data / "robust" / name) == outcome


@pytest.mark.slow
def test_every_awkward_file(shared_data: Path) -> None:
    outcomes = [_outcome(path) for path in sorted((shared_data / "robust").iterdir())]
    counts = {kind: outcomes.count(kind) for kind in ("read", "stopped", "error")}
    assert counts == {"read": 106, "stopped": 2, "error": 13}
