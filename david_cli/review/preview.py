"""What david will do to a video, seen before the wait: a few moments deblurred, and an estimate.

quick look -> moments -> 7 frames of each -> network -> source and result -> a sheet
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.pace import seconds_per_frame
from david_cli.inference.window import sliding_windows
from david_cli.review.moments import choose, look_around
from david_cli.review.screen import seen_by_network
from david_cli.review.sheet import BOXES, Heading, pair_sheet
from david_cli.review.shown import Shown
from david_cli.review.wording import digits, frames_in_words, roughly
from david_cli.scenes import is_scene_cut
from david_cli.transfer import change_in_source
from david_cli.video.color import add_change, to_arrays, to_tensors
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.places import Place, around
from david_cli.video.reader import read_info


@dataclass(frozen=True)
class Preview:
    """All that there is to show."""

    info: VideoInfo
    moments: tuple[Shown, ...]
    looked_at: int
    """Frames that the moments were chosen among; 0 where somebody gave their times."""
    frames: int | None
    """How many the video has; None where nobody knows."""
    pace: float
    """Seconds that the network takes for a frame."""
    model: str
    device: str
    notes: tuple[str, ...] = ()
    """Lines for a person."""

    @property
    def seconds(self) -> float | None:
        """What the whole video will take."""
        return None if self.frames is None else self.frames * self.pace

    @property
    def estimate(self) -> str:
        """What the whole video will take, as a sentence."""
        speed = f"{digits(1 / self.pace)} frames a second by {self.model} on {self.device}"
        if self.frames is None or self.seconds is None:
            return f"The whole video: {speed}; how many frames it has is not known"
        count = frames_in_words(self.frames)
        return f"The whole video ({count}): {roughly(self.seconds)}, {speed}"

    def sheet(self) -> Image.Image:
        """The moments below each other, each with its source, its result and crops of both."""
        info, frames = self.info, self.moments[0].before.shape[-2:]
        facts = [f"{frames[1]} x {frames[0]} pixels", info.codec]
        if info.rate:
            facts.append(f"{float(info.rate):.4g} frames a second")
        if info.color.hdr:
            facts.append("HDR, shown here as an ordinary screen can")
        lines = (", ".join(facts), self.estimate, BOXES)
        names = ("source", f"result of {self.model}")
        heading = Heading(f"What david makes of {info.path.name}", lines, names)
        return pair_sheet(heading, [moment.row() for moment in self.moments])


def preview(
    source: Path,
    deblurrer: Deblurrer,
    times: Sequence[Fraction] = (),
    *,
    strength: float = 1.0,
    on_step: Callable[[str], None] = lambda line: None,
) -> Preview:
    """Deblur a few moments of a video, each exactly as `deblur_video` would.

    Args:
        source: the video; nothing is written.
        deblurrer: network, device and tiling.
        times: seconds after the first frame; looked for where there are none.
        strength: 0 keeps the picture as it is, 1 applies the network's whole change.
        on_step: told what is being done.

    Raises:
        InputError: the video cannot be read, or is over before one of the times.
    """
    info = read_info(source)
    frames = info.frame_count
    looked_at, notes, motions = 0, list[str](), dict[str, float]()
    wanted = [("", time) for time in times]
    if not wanted:
        on_step("looking for moments")
        found = look_around(source, info)
        chosen = choose(found.all)
        wanted = [(name, glimpse.time) for name, glimpse in chosen.items()]
        motions = {name: glimpse.motion for name, glimpse in chosen.items()}
        looked_at, frames = len(found.all), found.frames
        if found.seconds is not None:
            seen = f"only the first {float(found.seconds):.1f} s were looked at"
            notes.append(f"{source} cannot be entered in the middle: {seen}; --at shows others")
    shown = []
    for number, (name, time) in enumerate(wanted, 1):
        on_step(f"deblurring moment {number} of {len(wanted)}")
        place = around(source, time, deblurrer.frames // 2)
        pair = place.frame, deblur_place(place, deblurrer, strength)
        shown.append(Shown.of(name, place.time, pair, (info, info), motions.get(name)))
    pace = seconds_per_frame(deblurrer, info.width, info.height)
    notes += deblurrer.events.lines()
    by = deblurrer.name, str(deblurrer.device)
    return Preview(info, tuple(shown), looked_at, frames, pace, *by, tuple(notes))


def deblur_place(place: Place, deblurrer: Deblurrer, strength: float = 1.0) -> Frame:
    """The frame of a place, deblurred with its neighbours; scenes and all as in the pipeline."""
    frame = place.frame
    window = torch.stack(list(_window(place, deblurrer.frames // 2)))
    output = deblurrer(window[None])[0]
    seen = window[len(window) // 2].to(output.device)
    change = change_in_source(output, seen, frame.color.transfer)
    planes = to_tensors(frame, output.device)
    sharp = add_change(planes, change, frame.format, frame.color, strength)
    return replace(frame, planes=to_arrays(sharp, frame.format))


def _window(place: Place, radius: int) -> Iterator[Tensor]:
    """What the network sees around the frame: (3, H, W) of each neighbour."""
    pictures = list(enumerate(seen_by_network(frame) for frame in place.frames))
    windows = sliding_windows(pictures, radius=radius, is_cut=lambda a, b: is_scene_cut(a[1], b[1]))
    for window in windows:
        if window[radius][0] == place.centre:
            return (rgb for _, rgb in window)
    raise AssertionError(place.centre)
