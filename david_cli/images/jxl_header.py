"""The first bits of a JPEG XL codestream: size, depth, colours, and how to keep them.

The library encodes samples, but names their colours itself and has no orientation. So the source's
words for these are put into the header of the new file: fields of bits, least significant first,
up to the next whole byte, where the picture's own data begin. The fields and their order are those
of ISO/IEC 18181-1, "Image header"; numbers in several lengths are its U32 and Enum.
"""

from __future__ import annotations

from dataclasses import dataclass

SIGNATURE = b"\xff\x0a"
HEADER = 1 << 14
"""Bytes that surely hold a header, but for its profile."""
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height
_ALPHA, _SPOT, _FILTER_ARRAY = 0, 2, 5  # types of extra channels
_GREY, _XYB, _CUSTOM = 1, 2, 2  # colour space, colour space, white point or primaries
_SRGB, _SRGB_GREY = "1", "001010001110110"  # fields of the two most usual colours

_PLAIN = (1, "0", False, False)  # of a header that says nothing of how to show the picture
_TONE = 16 + 16 + 1 + 16  # bits of the numbers about the display's brightness

_Choice = tuple[int, int]  # a number of bits, and what is added to their value
_LENGTH: tuple[_Choice, ...] = ((9, 1), (13, 1), (18, 1), (30, 1))
_ENUM: tuple[_Choice, ...] = ((0, 0), (0, 1), (4, 2), (6, 18))
_COORDINATE: tuple[_Choice, ...] = ((19, 0), (19, 1 << 19), (20, 1 << 20), (21, 1 << 21))


@dataclass(frozen=True)
class Extra:
    """A channel beside the colours."""

    is_alpha: bool
    depth: tuple[int, int]
    shift: int
    """Halvings of its size against the picture's."""


@dataclass(frozen=True)
class JxlHeader:
    """What a codestream says of its picture; fields named ``_bits`` are strings of 0 and 1."""

    width: int
    height: int
    """As stored, before the orientation."""
    orientation: int
    """1 to 8, as EXIF counts."""
    depth: tuple[int, int]
    """Bits per sample, and those of a float's exponent; 0 = integers."""
    extras: tuple[Extra, ...]
    lossy: bool
    """Colours of human vision (XYB), which are never exact."""
    has_profile: bool
    transfer: int
    """Code of ITU-T H.273; 2 = not said, or a profile or an exponent says it."""
    animated: bool
    has_preview: bool
    size_bits: str
    inherent_bits: str
    """The size at which to show the picture."""
    sample_bits: str
    """Depth, and whether 16 bits suffice in between."""
    extra_bits: str
    color_bits: str
    """Where a profile describes the colours, those of sRGB."""
    tone_bits: str
    """Brightness of the display; empty where the header has none."""
    rest_bits: str
    length: int
    """Bytes up to the picture's data; of no meaning where there is a profile."""


def read_jxl_header(codestream: bytes) -> JxlHeader:
    """Read the header of a bare codestream. Raises ValueError where it is damaged."""
    if not codestream.startswith(SIGNATURE):
        raise ValueError("the codestream does not begin as it should")
    return _Reader(codestream[len(SIGNATURE) : HEADER]).header()


def with_source_fields(made: bytes, source: JxlHeader) -> bytes:
    """Give a codestream the colours, orientation and alpha's meaning of its source."""
    new = read_jxl_header(made)
    assert not (new.lossy or new.has_profile or new.animated), "as it was encoded"
    more = source.orientation != 1 or source.inherent_bits != "0" or source.tone_bits
    turn = f"{source.orientation - 1:03b}"[::-1]
    bits = [new.size_bits, "0", f"1{turn}{source.inherent_bits}00" if more else "0"]
    bits += [new.sample_bits, source.extra_bits, "0"]
    bits += [source.color_bits, source.tone_bits or "1" if more else "", new.rest_bits]
    fields = "".join(bits)
    fields += "0" * (-len(fields) % 8)
    head = int(fields[::-1], 2).to_bytes(len(fields) // 8, "little")
    return SIGNATURE + head + made[new.length :]


class _Reader:
    """Takes fields off a header, from its first bit on."""

    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data, 'little'):0{8 * len(data)}b}"[::-1]
        self._position = 0

    def header(self) -> JxlHeader:
        size, size_bits = self._size(), self._taken(0)
        default = self._flag()
        more = not default and self._flag()
        orientation, inherent, preview, animated = self._showing() if more else _PLAIN
        start = self._position
        depth = (8, 0) if default else self._depth()
        if not default:
            self._flag()
        samples, start = self._taken(start), self._position
        count = 0 if default else self._choice(((0, 0), (0, 1), (4, 2), (12, 1)))
        extras = tuple(self._extra() for _ in range(count))
        extra_bits = "00" if default else self._taken(start)
        lossy = default or self._flag()
        start = self._position
        profile, transfer = (None, 13) if default else self._colors()
        colors, start = profile or self._taken(start) or _SRGB, self._position
        if more and not self._flag():
            self._number(_TONE)
        tone, start = self._taken(start), self._position
        if not default:
            self._extensions()
        if not (profile or self._flag() or lossy):
            raise ValueError("it has a transform of its own between stored and shown colours")
        return JxlHeader(
            width=size[0],
            height=size[1],
            orientation=orientation,
            depth=depth,
            extras=extras,
            lossy=lossy,
            has_profile=bool(profile),
            transfer=transfer,
            animated=animated,
            has_preview=preview,
            size_bits=size_bits,
            inherent_bits=inherent,
            sample_bits=samples,
            extra_bits=extra_bits,
            color_bits=colors,
            tone_bits=tone,
            rest_bits=self._taken(start),
            length=len(SIGNATURE) + -(-self._position // 8),
        )

    def _showing(self) -> tuple[int, str, bool, bool]:
        """Orientation, bits of the inherent size, whether there is a preview, an animation."""
        orientation, start = 1 + self._number(3), self._position
        if self._flag():
            self._size()
        inherent = self._taken(start)
        if preview := self._flag():
            self._preview()
        if animated := self._flag():
            self._animation()
        return orientation, inherent, preview, animated

    def _taken(self, start: int) -> str:
        return self._bits[start : self._position]

    def _number(self, bits: int) -> int:
        self._position += bits
        if self._position > len(self._bits):
            raise ValueError("the file ends within its header")
        return int(self._taken(self._position - bits)[::-1] or "0", 2)

    def _flag(self) -> bool:
        return bool(self._number(1))

    def _choice(self, choices: tuple[_Choice, ...]) -> int:
        """A number whose length two bits choose."""
        bits, added = choices[self._number(2)]
        return self._number(bits) + added

    def _size(self) -> tuple[int, int]:
        eighths = self._flag()
        height = 8 * (1 + self._number(5)) if eighths else self._choice(_LENGTH)
        ratio = self._number(3)
        if ratio:
            across, down = _RATIOS[ratio - 1]
            return height * across // down, height
        return 8 * (1 + self._number(5)) if eighths else self._choice(_LENGTH), height

    def _preview(self) -> None:
        eighths = self._flag()
        choices: tuple[_Choice, ...] = ((0, 16), (0, 32), (5, 1), (9, 33))
        choices = choices if eighths else ((6, 1), (8, 65), (10, 321), (12, 1345))
        self._choice(choices)
        if not self._number(3):
            self._choice(choices)

    def _animation(self) -> None:
        self._choice(((0, 100), (0, 1000), (10, 1), (30, 1)))
        self._choice(((0, 1), (0, 1001), (8, 1), (10, 1)))
        self._choice(((0, 0), (3, 0), (16, 0), (32, 0)))
        self._flag()

    def _depth(self) -> tuple[int, int]:
        if self._flag():
            return self._choice(((0, 32), (0, 16), (0, 24), (6, 1))), 1 + self._number(4)
        return self._choice(((0, 8), (0, 10), (0, 12), (6, 1))), 0

    def _extra(self) -> Extra:
        if self._flag():
            return Extra(True, (8, 0), 0)
        kind, depth = self._choice(_ENUM), self._depth()
        shift = self._choice(((0, 0), (0, 3), (0, 4), (3, 1)))
        self._number(8 * self._choice(((0, 0), (4, 0), (5, 16), (10, 48))))  # its name
        if kind == _ALPHA:
            self._flag()
        elif kind == _SPOT:
            self._number(4 * 16)
        elif kind == _FILTER_ARRAY:
            self._choice(((0, 1), (2, 0), (4, 3), (8, 19)))
        return Extra(kind == _ALPHA, depth, shift)

    def _colors(self) -> tuple[str | None, int]:
        """What stands in for a profile, None where there is none, and the transfer."""
        if self._flag():
            return None, 13  # sRGB
        profile, space = self._flag(), self._choice(_ENUM)
        if profile:
            return (_SRGB_GREY if space == _GREY else _SRGB), 2
        if space != _XYB and self._choice(_ENUM) == _CUSTOM:
            self._point()
        if space not in (_GREY, _XYB) and self._choice(_ENUM) == _CUSTOM:
            for _ in range(3):
                self._point()
        transfer = 2
        if space != _XYB:
            exponent = self._flag()
            transfer = 2 if exponent and self._number(24) else self._choice(_ENUM)
        self._choice(_ENUM)  # rendering intent
        return None, transfer

    def _point(self) -> None:
        self._choice(_COORDINATE)
        self._choice(_COORDINATE)

    def _extensions(self) -> None:
        if self._number(2):
            raise ValueError("its header has extensions of a later version")
