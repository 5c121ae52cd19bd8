"""What everything beside the frames is compared by: streams, chapters, metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from david_cli.video.comparison import Comparison, Finding, milliseconds, row_of_parts
from david_cli.video.contents import Track, decoded
from david_cli.video.metadata import same

_MILLISECOND = Fraction(1, 1000)
_SETTLING = 2  # decoded frames of sound that depend on packets before a part
_SHOWN = 3  # names listed in a detail


def track_findings(c: Comparison) -> Iterator[Finding]:
    """A row for each stream, the picture's own language and title, chapters and metadata."""
    for finding in (_video_details(c), *_tracks(c), _chapters(c), _metadata(c)):
        if finding is not None:
            yield finding


def _video_details(c: Comparison) -> Finding | None:
    if not c.before.video:
        return None
    index = c.before.info.video_index
    problems, losses = _details(c, index, c.before.video, c.after.video)
    return row_of_parts("video stream", problems, losses, ", ".join(c.before.video.values()))


def _details(
    c: Comparison, index: int, before: dict[str, str], after: dict[str, str]
) -> tuple[list[str], list[str]]:
    """What is wrong with a stream's language, title and dispositions, and what is lost."""
    problems: list[str] = []
    losses: list[str] = []
    for name, text in before.items():
        if after.get(name) != text:
            change = f"{name} {text} became {after.get(name, 'nothing')}"
            listed = c.listed(rf"{name} of streams? (\d+, )*{index}\b")
            (problems if listed is None else losses).append(change)
    return problems, losses


def _tracks(c: Comparison) -> Iterator[Finding]:
    unused = dict(c.after.tracks)
    for index, track in c.before.tracks.items():
        listed = c.listed(rf"{track.name}\b[^:]*: .*cannot hold it")
        if index not in c.plan.copied:
            if listed is not None:
                yield Finding(track.name, "lost", listed.partition(": ")[2])
            continue  # else MP4's own track of chapters, which the muxer writes by itself
        alike = (i for i, t in unused.items() if t.identity == track.identity)
        found = next(alike, None)
        if found is None:
            yield Finding(track.name, "wrong", f"{track.identity[1]} is not in the result")
            continue
        yield _track(c, index, track, found, unused.pop(found))
    for track in unused.values():
        if track.kind in ("audio", "video", "subtitle"):
            yield Finding(track.name, "wrong", "of the result: the source has no such stream")


def _track(c: Comparison, index: int, before: Track, found: int, after: Track) -> Finding:
    problems, losses = _details(c, index, before.details, after.details)
    kept = f"{len(before.packets)} packets"
    if before.packets == after.packets:
        problems += _packet_times(c, before, after)
    elif not Counter(after.packets) - Counter(before.packets) and (
        before.backwards or c.listed(rf"stream {index}: .* left out")
    ):
        gone = len(before.packets) - len(after.packets)
        hidden = c.listed(rf"stream {index}: .* does not play")
        why = "which the source hides" if hidden else "whose times the container does not take"
        losses.append(f"{gone} of {kept} left out, {why}")
    elif _same_decoded(c, index, found):
        kept = "samples the same when decoded; the container wants other packets"
        problems += _packet_times(c, before, after)
    else:
        problems.append(f"other packets: {len(after.packets)} for {len(before.packets)}")
    if before.header != after.header:
        problems.append("another attached file or other styles")
    words = [before.identity[1] or "unknown", *before.details.values(), kept]
    return row_of_parts(before.name, problems, losses, ", ".join(words))


def _packet_times(c: Comparison, before: Track, after: Track) -> list[str]:
    pairs = zip(before.times, after.times, strict=False)
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    shift = c.before.shift - _delay(c)
    worst = max((abs(a - shift - b) for a, b in known), default=Fraction(0))
    return [f"times off by {milliseconds(worst)}"] if worst > after.time_base / 2 else []


def _delay(c: Comparison) -> Fraction:
    """By how much the container moved everything, picture included, where that was said."""
    if not c.listed("uneven times"):
        return Fraction(0)
    return c.after.shots[0].time - (c.before.shots[0].time - c.before.shift)


def _same_decoded(c: Comparison, index: int, found: int) -> bool:
    """Whether both streams decode to the same, but for frames at their ends.

    The first frames of sound depend on packets that a part has not, and containers differ in
    whether they tell decoders to leave them out.
    """
    a = list(decoded(c.before.info.path, index))
    b = list(decoded(c.after.info.path, found))[_SETTLING:]
    if not c.before.is_part and abs(len(a) - len(b)) > 2 * _SETTLING:
        return False
    starts = (i for i, one in enumerate(a) if b and one == b[0])
    return any(a[i : i + len(b)] == b for i in starts)


def _chapters(c: Comparison) -> Finding | None:
    a, b = ([_chapter(chapter) for chapter in side.look.chapters] for side in (c.before, c.after))
    if not a and not b:
        return None
    equal = len(a) == len(b) and all(
        s[0] == t[0] and abs(s[1] - t[1]) <= _MILLISECOND for s, t in zip(a, b, strict=True)
    )
    names = [f"{len(side)} ({', '.join(title for title, _ in side[:_SHOWN])})" for side in (a, b)]
    return c.judge("chapters", r"\d+ chapters", equal, *names)


def _metadata(c: Comparison) -> Finding | None:
    before = {key.lower(): text for key, text in c.before.look.metadata.items()}
    after = {key.lower(): text for key, text in c.after.look.metadata.items()}
    line = c.listed("metadata ")
    lost = line.removeprefix("metadata ").partition(": ")[0].lower() if line else ""
    listed = set(lost.split(", "))
    problems = [
        f"{key} {text!r} became {after.get(key, '')!r}"
        for key, text in before.items()
        if key not in listed and not same(key, text, after.get(key))
    ]
    losses = sorted(listed & before.keys())
    return row_of_parts("metadata", problems, losses, f"{len(before)} entries") if before else None


def _chapter(chapter: dict[str, object]) -> tuple[str, Fraction]:
    """Title and start in seconds."""
    start, base, metadata = chapter["start"], chapter["time_base"], chapter["metadata"]
    assert isinstance(start, int) and isinstance(base, Fraction) and isinstance(metadata, dict)
    return str(metadata.get("title", "")), start * base
