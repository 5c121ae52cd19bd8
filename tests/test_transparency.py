"""The defaults of every codec are near transparent, and the table that says so can tell."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import pytest

from david_cli.video import codecs
from david_cli.video.codecs import CODECS
from tests.transparency import EXAMPLE, Row, rows

SHORT = Fraction(1, 8)
FAITHFUL = 40.0
"""dB of luma: what the defaults reach on the example, less a little."""


def table(*names: str) -> list[Row]:
    return list(rows(EXAMPLE, SHORT, names))


@pytest.mark.parametrize("codec", CODECS)
def test_defaults_are_near_transparent_and_lossless_is_exact(codec: str) -> None:
    default, *lossless = table(codec)
    assert default.luma >= default.worst > FAITHFUL
    assert default.chroma > FAITHFUL
    assert bool(lossless) == (codec not in ("prores", "dnxhr"))
    for row in lossless:
        assert row.luma == row.worst == row.chroma == inf
        assert row.rate >= default.rate
        assert "| exact | exact | exact |" in str(row)


def test_a_poor_default_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = codecs.CodecChoice(("libx264",), {"crf": "40", "preset": "ultrafast"}, "preset")
    monkeypatch.setitem(codecs.CODECS, "h264", poor)
    assert table("h264")[0].worst < FAITHFUL - 5
