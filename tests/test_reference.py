"""docs/reference.md is what the commands say of themselves."""

from __future__ import annotations

from tests.reference import PAGE, markdown, reference


def test_the_reference_is_current() -> None:
    current = PAGE.read_text(encoding="utf-8") == reference()
    assert current, "docs/reference.md is not what the commands say: run python -m tests.reference"


def test_markup_becomes_markdown() -> None:
    assert markdown("see [bold]david info[/bold], `a*b` or <name>\\[x]") == (
        "see `david info`, `a*b` or \\<name\\>[x]"
    )
