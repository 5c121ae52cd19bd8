"""Values of options: what is read, and what is refused with the option's name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from david_cli.cli import checks
from david_cli.errors import OutputError, UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", Fraction(0)),
        ("83.5", Fraction(167, 2)),
        (".25", Fraction(1, 4)),
        ("7.", Fraction(7)),
        ("1:23.5", Fraction(167, 2)),
        ("90:00", Fraction(5400)),
        ("01:02:03.004", Fraction(3723004, 1000)),
        (" 5 ", Fraction(5)),
    ],
)
def test_times_are_exact(text: str, seconds: Fraction) -> None:
    assert checks.parse_time("--start", text) == seconds


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59_999))
def test_every_clock_time_is_read_as_its_sum(hours: int, minutes: int, millis: int) -> None:
    text = f"{hours}:{minutes:02}:{millis / 1000:06.3f}"
    expected = hours * 3600 + minutes * 60 + Fraction(millis, 1000)
    assert checks.parse_time("--end", text) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1e3", "nan", "1:60", "1:2:3:4", "1:99:00", ":5", "1:", "٣", "1,5"]
)
def test_what_is_no_time_names_its_option(text: str) -> None:
    with pytest.raises(UsageError, match="--start"):
        checks.parse_time("--start", text)


def test_a_span_must_hold_something() -> None:
    assert checks.parse_span(None, None) == (None, None)
    assert checks.parse_span("1", "1:00") == (1, 60)
    for start, end in (("2", "2"), ("3", "2"), (None, "0")):
        with pytest.raises(UsageError, match="--end"):
            checks.parse_span(start, end)


def test_tiles_are_auto_or_whole_numbers() -> None:
    assert checks.parse_tile("auto") == "auto"
    assert checks.parse_tile("0") == 0
    assert checks.parse_tile("512") == 512
    for text in ("", "big", "12.5", "0x10"):
        with pytest.raises(UsageError, match="--tile"):
            checks.parse_tile(text)


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), float("inf")])
def test_strength_is_between_nothing_and_all(strength: float) -> None:
    with pytest.raises(UsageError, match="--strength"):
        checks.parse_strength(strength)


def test_encoder_options_keep_what_follows_the_first_equals_sign() -> None:
    assert checks.parse_encoder_options(None) == {}
    pairs = ["tune=grain", "x264-params=aq-mode=3:me=umh", "empty=", "tune=film"]
    assert checks.parse_encoder_options(pairs) == {
        "tune": "film",
        "x264-params": "aq-mode=3:me=umh",
        "empty": "",
    }
    for pair in ("tune", "=grain", ""):
        with pytest.raises(UsageError, match="--encoder-option"):
            checks.parse_encoder_options([pair])


def test_an_output_names_a_file(tmp_path: Path) -> None:
    checks.check_output_file(None)
    checks.check_output_file(tmp_path / "new.mp4")
    with pytest.raises(UsageError, match="standard output"):
        checks.check_output_file(Path("-"))
    with pytest.raises(OutputError, match="is a folder"):
        checks.check_output_file(tmp_path)


def test_what_exists_is_overwritten_only_with_yes(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    assert checks.may_overwrite(target, yes=False, ask=True) is False  # nothing to overwrite
    target.touch()
    assert checks.may_overwrite(target, yes=True, ask=True) is True
    with pytest.raises(OutputError, match=r"out\.mp4 exists.*--yes"):  # pytest has no terminal
        checks.may_overwrite(target, yes=False, ask=True)


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    source, link = tmp_path / "a.mp4", tmp_path / "link.mp4"
    source.touch()
    link.symlink_to(source)
    checks.refuse_own_input(source, tmp_path / "b.mp4")
    for same in (source, link, tmp_path / "." / "a.mp4"):
        with pytest.raises(OutputError, match="input itself"):
            checks.refuse_own_input(source, same)
