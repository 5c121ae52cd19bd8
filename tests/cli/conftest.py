"""A tiny random network and tiny clips, so that commands run for real in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from david_cli.cli.app import run
from david_cli.network.david import David, DavidConfig
from david_cli.network.weights import save_network

TINY = DavidConfig(modules=1, branches=(7,), widths=(4, 4), attention_widths=(4,))
WIDTH, HEIGHT, RATE = 64, 48, 25


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a random network that takes milliseconds a frame and changes every picture."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    network = David(TINY)
    with torch.no_grad():
        for parameter in network.parameters():  # a new network changes nothing
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    save_network(network, path, {"data": "none"}, gain={"7": 0.25, "15": -0.5})
    return path


def pictures(count: int) -> list[np.ndarray]:
    """RGB pictures (HEIGHT, WIDTH, 3) of a gradient that moves by a pixel a frame."""
    x = np.arange(WIDTH)[None, :, None]
    y = np.arange(HEIGHT)[:, None, None]
    tint = np.array([1, 2, 3])
    return [((x + i + y * tint) % 256).astype(np.uint8) for i in range(count)]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of h264 with a second of sound."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=8000, layout="mono")
        for picture in pictures(12):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    return path


@pytest.fixture
def frame_folder(tmp_path: Path) -> Path:
    """Ten PNG frames whose names need natural order, and a file that is none."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for i, picture in enumerate(pictures(10), 1):
        Image.fromarray(picture).save(folder / f"f{i}.png")
    (folder / "notes.txt").write_text("left out")
    return folder


@pytest.fixture
def no_files_left(tmp_path: Path) -> Callable[[], None]:
    """Assert that nothing new, whole or partial, is in tmp_path since the test began."""
    before = set(tmp_path.rglob("*"))

    def check() -> None:
        assert set(tmp_path.rglob("*")) == before

    return check


@pytest.fixture
def refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[list[str], int, str], None]:
    """Assert that a command fails in tmp_path with an exit code, words in one line, and no file."""
    monkeypatch.chdir(tmp_path)

    def check(command: list[str], code: int, words: str) -> None:
        before = set(tmp_path.rglob("*"))
        found = run(command)
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("david: error: ")]
        assert (found, len(lines), out) == (code, 1, ""), err
        assert "Traceback" not in err
        assert words in lines[0]
        assert set(tmp_path.rglob("*")) == before

    return check
