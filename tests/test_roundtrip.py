"""Rows of the table of round trips (see roundtrip.py): exact, or a limit that has a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import roundtrip
from tests.footage import Plain, plain_decode
from tests.roundtrip import Case

QUICK = (
    Case("h264", "mp4", "yuv420p", "VFR", 1),
    Case("h264", "ts", "yuv420p", "CFR", 0),
    Case("hevc", "mov", "yuv420p10le", "VFR", 0),
    Case("vp9", "webm", "yuv420p", "VFR", 1),
    Case("prores", "mov", "yuv422p10le", "VFR", 1),
    Case("ffv1", "mkv", "gray16le", "VFR", 1),
    Case("ffv1", "nut", "yuva420p", "VFR", 0),
)
ALL = tuple(roundtrip.cases())
EXACT = ("h264-mp4", "h264-mov", "hevc-mov", "hevc-mp4")
"""Codec and container that must lose nothing at all."""


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_a_row_is_exact_or_names_its_limit(case: Case, tmp_path: Path) -> None:
    assert case in ALL
    row = roundtrip.examine(case, tmp_path)
    assert row.wrong == [], row
    if str(case).startswith(EXACT):
        assert row.verdict == "exact"


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in ALL if case not in QUICK], ids=str)
def test_every_row_is_exact_or_names_its_limit(case: Case, tmp_path: Path) -> None:
    test_a_row_is_exact_or_names_its_limit(case, tmp_path)


def test_a_lost_frame_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table would be worth nothing if it could not say WRONG."""

    def less(path: Path) -> Plain:
        found = plain_decode(path)
        if path.name == "out.nut":
            found.frames.pop()
        return found

    monkeypatch.setattr(roundtrip, "plain_decode", less)
    row = roundtrip.examine(Case("ffv1", "nut", "yuv420p", "CFR", 0), tmp_path)
    assert row.verdict.startswith("WRONG: another number of frames")


def test_another_picture_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roundtrip, "GAIN", 0.6)
    row = roundtrip.examine(Case("ffv1", "nut", "yuv420p", "CFR", 1), tmp_path)
    assert "a plane is off" in row.verdict
