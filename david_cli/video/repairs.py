"""What was odd about frames and was put up with: counts, and the sentences for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Repairs:
    """Counted over the frames that were wanted."""

    corrupt: int = 0
    """Frames that FFmpeg marks as damaged."""
    recolored: int = 0
    """Frames with other colour tags than the first of the file."""
    refielded: int = 0
    """Frames with other interlacing than the first of the file."""

    def __add__(self, other: Repairs) -> Repairs:
        return Repairs(
            self.corrupt + other.corrupt,
            self.recolored + other.recolored,
            self.refielded + other.refielded,
        )

    def lines(self, *, deinterlaced: bool) -> list[str]:
        """For a person; empty where nothing was odd."""
        deed = "each was treated as it says" if deinterlaced else "all are marked like it"
        said = (
            (self.corrupt, "damaged frames in the source: {}; used as far as they decode"),
            (
                self.recolored,
                "frames with other colour tags than the first: {}; "
                "the output is tagged like the first",
            ),
            (
                self.refielded,
                f"interlacing changes on the way: {{}} frames are not like the first; {deed}",
            ),
        )
        return [line.format(count) for count, line in said if count]
