"""What a result's frames are compared by: their number, times and looks, format and tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from david_cli.video.codecs import Hdr10
from david_cli.video.comparison import Comparison, Finding, milliseconds
from david_cli.video.contents import Shot
from david_cli.video.frame import ChromaLocation, PixelFormat, Range, same_siting
from david_cli.video.hdr import lost_hdr
from david_cli.video.planes import planar_format
from david_cli.video.repack import embeds
from david_cli.video.side_data import turn
from david_cli.video.trial import nominal_rate

_EXACT = ("mov", "nut")  # demuxers whose files keep every tick
_KEEPS_DURATIONS = ("mov", "matroska")  # and those that say how long a frame is
_WHOLE_FRAMES = ("avi",)  # and those that count frames, not time
_DARK, _LIT = 0.02, 0.06  # luma above black, of full scale: nothing to see, and something
_FLAT = 0.1  # share of the source's contrast below which a picture holds none
_CONTRAST = 0.02  # standard deviation of luma above which a source has some
_STILL = 0.02  # share of the source's motion below which a picture stands
_MOTION = 0.01  # mean difference of luma between frames above which a source moves
_SHOWN = 3  # names listed in a detail


def picture_findings(c: Comparison) -> Iterator[Finding]:
    """A row for each thing that a frame is or says; none where it does not apply."""
    rows = (
        _frames,
        _times,
        _duration,
        _picture,
        _size,
        _format,
        _range_row,
        _color,
        _siting,
        _hdr_row,
        _aspect,
        _orientation,
        _interlacing,
    )
    for row in rows:
        if (finding := row(c)) is not None:
            yield finding


def _frames(c: Comparison) -> Finding:
    a, b = len(c.before.shots), len(c.after.shots)
    if c.after.stopped:
        return Finding("frames", "wrong", f"decoding ends at {c.after.stopped}")
    return Finding("frames", "kept" if a == b else "wrong", f"{a}" if a == b else f"{b} of {a}")


def _pairs(c: Comparison) -> list[tuple[Shot, Shot]]:
    return list(zip(c.before.shots, c.after.shots, strict=False))


def _times(c: Comparison) -> Finding:
    tick = c.after.info.time_base
    errors = [abs(a.time - c.before.shift - b.time) for a, b in _pairs(c)]
    worst = max(errors)
    if worst == 0:
        return Finding("times", "kept", "exact")
    near = f"to the nearest tick of {milliseconds(tick)}: at most {milliseconds(worst)} off"
    if _container(c, _WHOLE_FRAMES):
        return Finding("times", "lost", f"{near}; the container counts whole frames")
    if worst <= tick / 2 and not _container(c, _EXACT):
        return Finding("times", "kept", f"{near}, as the container counts")
    detail = f"frame {errors.index(worst)} is {milliseconds(worst)} off"
    if c.listed(r"\d+ frames moved|uneven times"):
        return Finding("times", "lost", f"{detail}; the container's clock has no place for it")
    return Finding("times", "wrong", detail)


def _container(c: Comparison, names: Sequence[str]) -> bool:
    return any(name in c.after.info.container.split(",") for name in names)


def _duration(c: Comparison) -> Finding | None:
    tick = c.after.info.time_base
    if c.before.shots[-1].duration < tick or not c.after.shots[-1].duration:
        return None  # one of the files does not say
    a, b = (_length(shots) for shots in (c.before.shots, c.after.shots))
    if abs(a - b) <= 2 * tick:
        return Finding("duration", "kept", f"{float(a):.6g} s")
    change = f"{float(a):.6g} s became {float(b):.6g} s"
    if not _container(c, _KEEPS_DURATIONS):
        return Finding("duration", "lost", f"{change}: the container has no place for it")
    if abs(a - b) <= 1 / nominal_rate(c.before.info):
        return Finding("duration", "lost", f"{change}: how long the last frame is shown")
    if c.before.repairs:
        return Finding("duration", "lost", f"{change}: the times of the source were repaired")
    return Finding("duration", "wrong", change)


def _picture(c: Comparison) -> Finding:
    pairs = _pairs(c)
    dead = [i for i, (a, b) in enumerate(pairs) if _is_empty(a, b)]
    stuck = [i for i, (a, b) in enumerate(pairs) if _is_stuck(a, b)]
    said = [f"black or flat: {_places(dead)}"] * bool(dead)
    said += [f"frozen: {_places(stuck)}"] * bool(stuck)
    if said:
        return Finding("picture", "wrong", f"frames {'; '.join(said)}, and not in the source")
    return Finding("picture", "kept", "no frame is black, flat or frozen but in the source")


def _size(c: Comparison) -> Finding:
    a, b = (f"{info.width}x{info.height}" for info in (c.before.info, c.after.info))
    return c.judge("size", "size", a == b, a, b)


def _format(c: Comparison) -> Finding:
    a, b = c.before.info.format, c.after.info.format
    if embeds(a, b):
        inside = "" if a.name == b.name else f" in {b.name}, exactly"
        return Finding("pixel format", "kept", f"{_form(a)}{inside}")
    change = f"{_form(a)} became {_form(b)}"
    if _planar(c.plan.pix_fmt) == b.name:
        return Finding("pixel format", "lost", f"{change}, as asked for or as {b.name} must")
    return Finding("pixel format", "wrong", change)


def _range_row(c: Comparison) -> Finding | None:
    if c.after.info.format.model == "rgb":
        return None
    expected, found = c.plan.color.range, c.after.info.color.range
    same = (expected == Range.FULL) == (found == Range.FULL)
    return c.judge("range", "full range", same, _range(expected), _range(found))


def _color(c: Comparison) -> Finding:
    a, b = c.plan.color, c.after.info.color
    is_rgb = c.after.info.format.model == "rgb"
    expected, found = (
        f"matrix {'RGB' if is_rgb else tags.matrix}, primaries {tags.primaries}, "
        f"transfer {tags.transfer}"
        for tags in (a, b)
    )
    return c.judge("colour tags", "colour tags", expected == found, expected, found)


def _siting(c: Comparison) -> Finding | None:
    format = c.after.info.format
    if format.log2_chroma == (0, 0):
        return None
    a, b = c.plan.color.chroma_location, c.after.info.color.chroma_location
    names = [ChromaLocation(site).name.lower() for site in (a, b)]
    return c.judge("chroma siting", "place of chroma", same_siting(a, b, format), *names)


def _hdr_row(c: Comparison) -> Finding | None:
    a, b = c.before.hdr, c.after.hdr
    if a == Hdr10():
        return None
    same = not lost_hdr(a, b)
    return c.judge("HDR metadata", "HDR (mastering|content)", same, _hdr(a), _hdr(b))


def _aspect(c: Comparison) -> Finding:
    a, b = (side.info.sample_aspect_ratio or Fraction(1) for side in (c.before, c.after))
    if b == 1 and c.after.info.codec == "ffv1":
        return Finding("pixel aspect", "kept", f"{a}; FFV1 has it in each frame")
    return c.judge("pixel aspect", "sample aspect ratio", a == b, a, b)


def _orientation(c: Comparison) -> Finding:
    a, b = (turn(side.look.matrix) for side in (c.before, c.after))
    plain = turn(None)
    names = ["as stored" if m == plain else f"matrix {m}" for m in (a, b)]
    return c.judge("orientation", "rotation", a == b, *names)


def _interlacing(c: Comparison) -> Finding:
    a, b = c.before.info.fields, c.after.info.fields
    names = [f"interlaced ({fields})" if fields else "progressive" for fields in (a, b)]
    return c.judge("scan", r"interlacing(: | \(.*\): removed)", a == b, *names)


def _is_empty(before: Shot, after: Shot) -> bool:
    """Black or flat where the source is not."""
    black = after.brightness <= _DARK and before.brightness >= _LIT
    return black or (before.spread >= _CONTRAST and after.spread < _FLAT * before.spread)


def _is_stuck(before: Shot, after: Shot) -> bool:
    """The same as the frame before where the source moves."""
    return before.change >= _MOTION and after.change < _STILL * before.change


def _length(shots: Sequence[Shot]) -> Fraction:
    return shots[-1].time + shots[-1].duration - shots[0].time


def _hdr(hdr: Hdr10) -> str:
    return ", ".join(part for part in (hdr.mastering, hdr.light) if part) or "none"


def _range(code: int) -> str:
    return "full" if code == Range.FULL else "limited"


def _form(format: PixelFormat) -> str:
    return f"{format.name} ({format.bits} bits{', alpha' if format.alpha else ''})"


def _planar(pix_fmt: str) -> str | None:
    try:
        return planar_format(pix_fmt).name
    except ValueError:
        return None


def _places(numbers: Sequence[int]) -> str:
    more = len(numbers) - _SHOWN
    return ", ".join(map(str, numbers[:_SHOWN])) + (f" and {more} more" if more > 0 else "")
