"""The page of a report: whole, safe, and nothing from outside."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from david_cli.review.page import page
from tests.review import reports

VOID = {"meta", "img", "input", "br", "line", "path"}
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}


class Reader(HTMLParser):
    """Elements of a page; fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def count(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)

    def all_of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader(page(reports.report()))


def test_hostile_texts_become_no_elements(read: Reader) -> None:
    """Names that hold markup add no element to those that the same report with plain ones has."""
    plain = page(reports.report()).replace(reports.HOSTILE, "")
    assert read.count() == Reader(plain).count()
    assert read.count()["script"] == 2
    assert not any(name.startswith("on") for _, found in read.elements for name in found)


def test_hostile_texts_can_be_read(read: Reader) -> None:
    shown = "<script>alert('$title')</script> & \"<img src=http://evil.example/x>\" \\udc80\\u202e"
    texts = "".join(read.texts)
    for what in ("result ", "kept ", "lost ", "note ", "warning "):
        assert what + shown in texts


def test_nothing_is_loaded_from_outside(read: Reader) -> None:
    targets = [
        value for _, found in read.elements for name, value in found.items() if name in LOADING
    ]
    assert len(targets) >= 8
    assert all(str(value).startswith(("data:image/jpeg;base64,", "#moment-")) for value in targets)
    style = re.findall(r"<style>(.*?)</style>", page(reports.report()), re.S)
    assert not re.search(r"url\(|@import|https?:", "".join(style))


def test_the_policy_forbids_what_is_not_there(read: Reader) -> None:
    (policy,) = [m["content"] for m in read.all_of("meta") if m.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in str(policy)


def test_each_moment_has_its_pictures_and_a_slider_with_a_name(read: Reader) -> None:
    assert [f["id"] for f in read.all_of("figure")] == ["moment-1", "moment-2"]
    assert all(picture["alt"] for picture in read.all_of("img"))
    assert len(read.all_of("img")) == 2 * 4
    sliders = read.all_of("input")
    assert [slider["type"] for slider in sliders] == ["range", "range"]
    assert all(slider["aria-label"] for slider in sliders)
    assert [link["href"] for link in read.all_of("a")] == ["#moment-1", "#moment-2"]


@pytest.mark.parametrize(
    "told",
    [
        "1 wrong",
        "3warnings",  # guard, warnings and notes, as on a terminal
        "1thing lost",
        "Of the run",
        "Of this report",
        "3 frames left as in the source",
        "An earlier run had done the other 4.",
        "limited by the network",
        "rotated by 90 degrees",
        "1.23 MB",
        "1:15",
    ],
)
def test_what_the_page_tells(read: Reader, told: str) -> None:
    assert told in "".join(read.texts)


def test_without_a_record_nothing_is_said_of_the_run() -> None:
    texts = "".join(Reader(page(reports.report(run=None, findings=None))).texts)
    assert "Settings" not in texts
    assert "Speed" not in texts
    assert "those of the run are not recorded" in texts
    assert "Nobody asked for one" in texts


@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.0, 1.0)])
@pytest.mark.parametrize("count", [1, 2])
def test_any_values_can_be_drawn(values: tuple[float, float], count: int) -> None:
    points = tuple(reports.point(number, *values) for number in range(1, count + 1))
    text = page(reports.report(points=points, moments=(reports.moment(points[-1]),)))
    for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", text.partition("<section><h2>Sharp")[2]):
        assert 0 <= float(x) <= 1000
        assert 0 <= float(y) <= 300


def test_small_differences_look_small() -> None:
    points = tuple(reports.point(n, 0.75, 0.75 + n / 10000) for n in range(1, 5))
    text = page(reports.report(points=points, moments=()))
    drawn = re.search(r'class="after" d="(M[^"]+)"/></svg><span class="y"', text)
    assert drawn is not None
    heights = [float(y) for y in re.findall(r" ([\d.]+)", drawn[1])]
    assert max(heights) - min(heights) < 3  # of 300
