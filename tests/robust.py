"""What `david deblur` makes of every file in a folder of awkward videos: one row a file.

    python -m tests.robust [--strength 0] [--model NAME] [--codec NAME] [--markdown] [FILE ...]

Each file is given to the command as a person would type it, in a folder of its own; the network is
one of known effect (rgb -> 0.95 rgb + 0.025) unless ``--model`` names another. The result is held
against a plain decode of source and target by PyAV alone: as many frames at the same times up to
the first exception, a similar picture, every other stream with the same packets or listed as lost.
Then david's own verification judges everything it knows of: kept, lost or wrong. A file without a
decodable frame must end in one line, exit code 3 and no file. With ``--codec ffv1`` every code of
the picture must be the source's at strength 0, and every code of luma and alpha what the known
network must give at strength 1. Exits 1 if a row is WRONG.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
from av.stream import Discard, Disposition, Stream
from av.video.frame import VideoFrame

from david_cli.cli.app import run
from david_cli.inference import loading
from david_cli.inference.loading import load_deblurrer
from david_cli.video.deinterlace import Deinterlace
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader, read_info
from david_cli.video.verify import verify_file
from tests.footage import KnownNetwork, known_deblurrer

FOLDER = Path(__file__).resolve().parents[1] / "../shared/data/robust"
WORST_PSNR = 25.0
"""dB of the luma of any frame: far below what deblurring does, far above another frame's."""
GAIN, OFFSET = 0.95, 0.025
"""Of the known network: little enough for the pictures to be told apart by their PSNR."""
FAILURES = (av.FFmpegError, OSError, ValueError)
NO_FRAME = 3
"""The documented exit code for a source without a picture."""


@dataclass
class Row:
    """What became of one file."""

    name: str
    frames: str = ""
    """Decoded by a plain loop -> in the target."""
    times: str = ""
    psnr: str = ""
    """Of the worst frame, in dB."""
    streams: str = ""
    outcome: str = ""
    """The target, or the error's line."""
    notes: list[str] = field(default_factory=list)
    """What david said about it."""
    kept: list[str] = field(default_factory=list)
    """What david's verification found as it was."""
    lost: list[str] = field(default_factory=list)
    """What it found lost."""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        return "WRONG: " + "; ".join(self.wrong) if self.wrong else "ok"


@dataclass(frozen=True)
class Said:
    """What the command printed, and how it ended."""

    code: int
    events: list[dict[str, Any]]
    error: str

    @property
    def done(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def lines(self) -> list[str]:
        """Losses, notes and warnings, each once."""
        found = [*self.done["losses"], *self.done["notes"], *self.done["warnings"]]
        return list(dict.fromkeys(found))


def examine(path: Path, arguments: Sequence[str]) -> Row:
    """Run `david deblur` on a file and compare what comes out with what is in it."""
    row, started = Row(path.name), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / path.name
        source.symlink_to(path.resolve())
        said = deblur(source, arguments)
        left = [p for p in Path(name).iterdir() if p != source]
        if said.code == 0:
            _compare(row, source, said, left)
            _compare_codes(row, source, said, arguments)
        else:
            _check_error(row, source, said, left)
    row.seconds = time.perf_counter() - started
    return row


def deblur(source: Path, arguments: Sequence[str]) -> Said:
    """The command line in this process, its output caught."""
    out, err = io.StringIO(), io.StringIO()
    known = known_deblurrer(KnownNetwork((GAIN,) * 3, (OFFSET,) * 3))
    load = load_deblurrer if _option(arguments, "--model") else lambda *_, **__: known
    caught = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with mock.patch.object(loading, "load_deblurrer", load), caught[0], caught[1]:
        code = run(["deblur", str(source), "--progress", "json", *arguments])
    return Said(code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue())


def _check_error(row: Row, source: Path, said: Said, left: list[Path]) -> None:
    frames = sum(1 for _ in pictures(source))
    row.frames, row.outcome = f"{frames} -> error {said.code}", _told(said.error, source)
    if frames:
        row.wrong.append(f"{frames} frames decode")
    if said.code != NO_FRAME:
        row.wrong.append(f"exit code {said.code}")
    if said.error.count("\n") != 1 or source.name not in said.error:
        row.wrong.append("not one line that names the file")
    if left:
        row.wrong.append(f"left {', '.join(p.name for p in left)}")


def _compare(row: Row, source: Path, said: Said, left: list[Path]) -> None:
    target = Path(said.done["target"])
    row.outcome = f"{target.suffix} {said.done['codec']} {said.done['pix_fmt']}"
    row.notes = [_told(line, source) for line in said.lines]
    if left != [target] or said.error:
        row.wrong.append(f"left {[p.name for p in left]}, printed {said.error!r}")
    _compare_frames(row, source, target)
    _compare_looks(row, source, target)
    _compare_streams(row, source, target)
    _verify(row, source, target, said)


def _verify(row: Row, source: Path, target: Path, said: Said) -> None:
    """Every row of `david verify`; nothing may be lost of which the command said nothing."""
    found = verify_file(source, target, said=said.lines)
    row.kept = [finding.what for finding in found.of("kept")]
    row.lost = [finding.what for finding in found.of("lost")]
    row.wrong += [f"{finding.what}: {finding.detail}" for finding in found.of("wrong")]
    if row.lost and not said.lines:
        row.wrong.append(f"lost without a word: {', '.join(row.lost)}")


def _option(arguments: Sequence[str], name: str) -> str | None:
    return dict(pairwise(arguments)).get(name)


def _compare_codes(row: Row, source: Path, said: Said, arguments: Sequence[str]) -> None:
    """Planes of every frame, as david's reader gives them: packed formats made planar."""
    strength, target = _option(arguments, "--strength"), Path(said.done["target"])
    is_known = strength in (None, "1") and not _option(arguments, "--model")
    if said.done["codec"] != "ffv1" or not (strength == "0" or is_known):
        return
    mode: Deinterlace = "auto" if is_known else "off"
    with VideoReader(source, deinterlace=mode) as a, VideoReader(target) as b:
        sides = [(item for item in r.items() if isinstance(item, Frame)) for r in (a, b)]
        for number, (before, after) in enumerate(zip(*sides, strict=False)):
            if before.format != after.format:
                row.wrong.append(f"{before.format.name} became {after.format.name}")
                return
            if not (_as_known(before, after) if is_known else _equal(before, after)):
                row.wrong.append(f"other codes from frame {number} on")
                return


def _equal(before: Frame, after: Frame) -> bool:
    return all(map(np.array_equal, before.planes, after.planes))


def _as_known(before: Frame, after: Frame) -> bool:
    """Whether luma (or R, G and B) are what the known network makes of them, by float64; and alpha
    the same. Chroma, of which there is less than of luma, is the round trip's business."""
    format, is_yuv = before.format, before.format.model == "yuv"
    if before.color.hdr:
        return True  # the network saw another curve
    top, unit = 2**format.bits - 1, 2 ** (format.bits - 8)
    full = format.always_full_range or before.color.range == 2
    black, span = (16 * unit, 219 * unit) if is_yuv and not full else (0, top)
    colors = 1 if format.model in ("yuv", "gray") else 3
    for old, new in zip(before.planes[:colors], after.planes[:colors], strict=True):
        wanted = black + GAIN * (old.astype(np.float64) - black) + OFFSET * span
        if np.abs(np.clip(np.round(wanted), 0, top) - new).max() > 1:
            return False
    return not format.alpha or np.array_equal(before.planes[-1], after.planes[-1])


def _told(line: str, source: Path) -> str:
    return line.strip().removeprefix("david: error: ").replace(str(source.parent) + "/", "")


def _compare_frames(row: Row, source: Path, target: Path) -> None:
    times: tuple[list[Fraction | None], list[Fraction | None]] = ([], [])
    worst, tick = math.inf, Fraction(0)
    first: VideoFrame | None = None
    for before, after in zip_longest(pictures(source), pictures(target)):
        first = first or before
        if first and before and (before.width, before.height) != (first.width, first.height):
            row.notes.append("the picture changes its size")
        for picture, found in zip((before, after), times, strict=True):
            if picture is not None:
                found.append(None if picture.pts is None else picture.pts * picture.time_base)
        if before is not None and after is not None:
            worst, tick = min(worst, _psnr(before, after)), Fraction(after.time_base)
    row.psnr = f"{worst:.1f}"
    row.frames = f"{len(times[0])} -> {len(times[1])}"
    if len(times[0]) != len(times[1]):
        row.wrong.append("another number of frames")
    elif worst < WORST_PSNR:
        row.wrong.append("another picture")
    row.times = _compare_times(row, *times, tick)


def _compare_times(
    row: Row, before: list[Fraction | None], after: list[Fraction | None], tick: Fraction
) -> str:
    """Equal, as near as the target's clock goes, or made from a source that has no usable ones."""
    known = [t for t in before if t is not None]
    if len(known) < len(before) or any(b <= a for a, b in pairwise(known)):
        made = [t for t in after if t is not None]
        if len(made) < len(after) or any(b <= a for a, b in pairwise(made)):
            row.wrong.append("times missing or running back")
        if not any(re.search("time|clock|moved", note) for note in row.notes):
            row.wrong.append("repaired times without a word")
        return "repaired"
    pairs = [(a, b) for a, b in zip(known, after, strict=False) if b is not None]
    error = max((abs(a - b) for a, b in pairs), default=Fraction(0))
    if error > tick / 2:
        row.wrong.append(f"times off by {float(error):.4f} s")
    return "exact" if error == 0 else f"within {float(error) * 1000:.2f} ms"


def _psnr(before: VideoFrame, after: VideoFrame) -> float:
    a, b = (picture.to_ndarray(format="gray").astype(np.float32) for picture in (before, after))
    if a.shape != b.shape:
        return 0.0
    error = float(np.square(a - b).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _compare_looks(row: Row, source: Path, target: Path) -> None:
    """Size, shape, rotation, colour tags and chapters: the same, or listed."""
    a, b = read_info(source), read_info(target)
    listed = " ".join(row.notes)
    facts = (
        ("size", (a.width, a.height), (b.width, b.height)),
        (
            "sample aspect ratio",
            a.sample_aspect_ratio or frame_aspect(source),
            b.sample_aspect_ratio or frame_aspect(target),
        ),
        ("rotation", a.rotation, b.rotation),
        ("chapters", a.chapters, b.chapters),
        ("interlac", a.interlaced, b.interlaced),
        (
            "colour tags",
            (a.color.primaries, a.color.transfer),
            (b.color.primaries, b.color.transfer),
        ),
    )
    row.wrong += [
        f"{what} {before} became {after}"
        for what, before, after in facts
        if before != after and what not in listed
    ]


def frame_aspect(path: Path) -> Fraction:
    """Sample aspect ratio of the first frame, which PyAV does not show but FFmpeg logs."""
    frame = next(pictures(path))
    size = {"width": frame.width, "height": frame.height, "format": frame.format}
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as logs:
            graph = av.filter.Graph()
            nodes = [graph.add_buffer(**size, time_base=frame.time_base), graph.add("showinfo")]
            graph.link_nodes(*nodes, graph.add("buffersink")).configure()
            graph.vpush(frame)
            graph.vpull()
    finally:
        av.logging.set_level(level)
    found = re.findall(r"\bsar:(\d+)/(\d+) s:", "".join(text for _, _, text in logs))
    width, height = map(int, found[0]) if found else (0, 1)
    return Fraction(width, height) or Fraction(1)


def _compare_streams(row: Row, source: Path, target: Path) -> None:
    """Every stream beside the picture is there with its packets, or listed as lost."""
    found_lost = (re.match(r"\w+ stream (\d+)\b.*cannot hold", note) for note in row.notes)
    lost = {int(match[1]) for match in found_lost if match}
    before, after = others(source), others(target)
    expected = [(i, kind, data) for i, (kind, data) in before.items() if i not in lost]
    found: dict[tuple[str, str | None], list[list[bytes]]] = {}
    for kind, data in after.values():
        found.setdefault(kind, []).append(data)
    kept = 0
    for index, kind, data in expected:
        if not found.get(kind):
            row.wrong.append(f"{kind[0]} stream {index} ({kind[1]}) neither kept nor listed")
            continue
        kept += 1
        if problem := _packets_differ(data, found[kind].pop(0), f"stream {index}", row.notes):
            row.wrong.append(f"stream {index}: {problem}")
    row.streams = f"{kept} kept" + (f", {len(lost)} lost" if lost else "")


def _packets_differ(a: list[bytes], b: list[bytes], name: str, notes: Sequence[str]) -> str:
    """Empty where equal; ADTS headers may go, and packets may be left out if that is said."""
    counted = any(note.startswith(name) and "left out" in note for note in notes)
    if len(a) != len(b) and not counted:
        return f"{len(b)} of {len(a)} packets"
    if counted:
        return "" if not Counter(b) - Counter(a) else "other packets"
    same = all(x == y or (x[:1] == b"\xff" and x.endswith(y)) for x, y in zip(a, b, strict=True))
    return "" if same else "other bytes"


def is_picture(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def pictures(path: Path) -> Iterator[VideoFrame]:
    """A plain decode of the first video stream that is no attached picture, up to an exception."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = next((s for s in container.streams.video if not is_picture(s)), None)
            if stream is not None:
                yield from container.decode(stream)
    except FAILURES:
        return
    except AttributeError:  # PyAV's answer to a stream without a decoder
        return


def others(path: Path) -> dict[int, tuple[tuple[str, str | None], list[bytes]]]:
    """Streams beside the picture: index -> (kind and codec, packets up to an exception)."""
    with av.open(str(path), metadata_errors="replace") as container:
        video = next(s for s in container.streams.video if not is_picture(s))
        has_chapters = bool(container.chapters())
        found = {
            s.index: (_identity(s), list[bytes]())
            for s in container.streams
            if s.index != video.index and not (has_chapters and s.discard == Discard.all)
        }
        with contextlib.suppress(*FAILURES):
            for packet in container.demux():
                index = packet.stream.index
                if packet.size and index in found and found[index][0][0] != "picture":
                    found[index][1].append(bytes(packet))
    return found


def _identity(stream: Stream) -> tuple[str, str | None]:
    context = getattr(stream, "codec_context", None)
    kind = "picture" if is_picture(stream) else stream.type
    return kind, context.name if context is not None else getattr(stream, "name", None)


HEADINGS = ("file", "frames", "times", "dB", "other streams", "kept", "lost", "result", "verdict")


def cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.frames,
        row.times,
        row.psnr,
        row.streams,
        str(len(row.kept) or ""),
        ", ".join(row.lost),
        row.outcome + "".join(f"; {note}" for note in row.notes),
        row.verdict,
    )


def line(texts: Sequence[str], *, markdown: bool) -> str:
    if markdown:
        return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |\n"
    widths = (48, 14, 16, 6, 16, 4, 16)
    return "  ".join(f"{t:<{w}}" for t, w in zip_longest(texts, widths, fillvalue=0)) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", help="names in the folder; all where none is given")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--strength", default="1")
    parser.add_argument("--model", help="as for david deblur; a network of known effect if none")
    parser.add_argument("--codec", help="as for david deblur")
    parser.add_argument("--markdown", action="store_true")
    asked = parser.parse_args(arguments)
    if not asked.folder.is_dir():
        sys.stdout.write(f"{asked.folder} is not here: nothing to try\n")
        return 0
    paths = sorted(p for p in asked.folder.iterdir() if p.is_file())
    if asked.files:
        paths = [p for p in paths if p.name in asked.files]
    sys.stdout.write(line(HEADINGS, markdown=asked.markdown))
    if asked.markdown:
        sys.stdout.write(line(["---"] * len(HEADINGS), markdown=True))
    options = ["--strength", asked.strength]
    options += ["--model", asked.model] if asked.model else []
    options += ["--codec", asked.codec] if asked.codec else []
    verdicts: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for path in paths:
        row = examine(path, options)
        verdicts[row.verdict.split(":")[0]] += 1
        sys.stdout.write(line(cells(row), markdown=asked.markdown))
        sys.stdout.flush()
        for verdict in ("kept", "lost", "wrong"):
            judged[verdict] += len(getattr(row, verdict))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    facts = ", ".join(f"{judged[verdict]} {verdict}" for verdict in ("kept", "lost", "wrong"))
    sys.stdout.write(f"\n{len(paths)} files: {counts}; of what they hold: {facts}\n")
    return 1 if verdicts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
