"""The page of a report in a real browser, where there is one: it draws, moves and asks for nothing.

The browser may look nothing up (every host is unknown to it), so that a page that loads anything
from outside fails twice: here, and by its own content security policy.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from david_cli.review.report import Pair, make_report, write_report
from tests.conftest import ROOT
from tests.review import reports
from tests.video.clips import pass_through

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
DARK, LIGHT = 0, 1


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the example clip, encoded once more, with a run of hostile names."""
    folder = tmp_path_factory.mktemp("report")
    pair = Pair(ROOT / "examples/phone_building.mp4", folder / "sharp.mp4")
    pass_through(pair.source, pair.result)
    write_report(folder / "r.html", make_report(pair, reports.run(frames=51)))
    return folder / "r.html"


def ask(browser: str, folder: Path, page: Path, *options: str) -> tuple[str, str]:
    """What a browser prints of a page, and what it says on standard error."""
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, *OPTIONS, profile, *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, done.stderr


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (500, 900)], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", [DARK, LIGHT], ids=["dark", "light"])
def test_it_draws(
    browser: str, page: Path, tmp_path: Path, scheme: int, width: int, height: int
) -> None:
    shot = tmp_path / "shot.png"
    size, scheme_option = f"--window-size={width},{height}", f"preferredColorScheme={scheme}"
    ask(browser, tmp_path, page, size, f"--blink-settings={scheme_option}", f"--screenshot={shot}")
    picture = np.asarray(Image.open(shot).convert("RGB"))
    assert picture.shape == (height, width, 3)
    margin = picture[:, 2].mean()
    assert margin < 60 if scheme == DARK else margin > 230
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 2000  # a photograph is in it


def test_the_script_runs_and_nothing_is_complained_of(
    browser: str, page: Path, tmp_path: Path
) -> None:
    dom, said = ask(browser, tmp_path, page, "--dump-dom")
    assert re.findall(r'<figure class="pair" id="moment-\d"( style="--split: 50%;")?', dom) == [
        ' style="--split: 50%;"'
    ] * len(re.findall("<figure", dom))
    assert "CONSOLE" not in said
    assert not re.search(r'(?:src|href)="(?!data:image/jpeg;base64,|#moment-)', dom)
    for title in ("Before and after", "Sharpness over time", "Settings", "Streams", "Speed"):
        assert f"<h2>{title}</h2>" in dom


def test_a_complaint_would_be_seen(browser: str, page: Path, tmp_path: Path) -> None:
    """Of a page that tries to load something, the browser says so where this module looks."""
    bad = tmp_path / "bad.html"
    bad.write_text(page.read_text().replace("<h1>", '<h1><img src="http://example.com/x.png">'))
    _, said = ask(browser, tmp_path, bad, "--dump-dom")
    assert "CONSOLE" in said


def test_it_prints(browser: str, page: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "r.pdf"
    ask(browser, tmp_path, page, f"--print-to-pdf={sheet}")
    data = sheet.read_bytes()
    assert data.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 8
