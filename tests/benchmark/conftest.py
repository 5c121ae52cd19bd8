"""A tiny network with attention and a tiny clip, so that everything runs for real in a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from david_cli.benchmark.footage import write_clip
from david_cli.network.david import David, DavidConfig
from david_cli.network.weights import save_network

TINY = DavidConfig(modules=2, branches=(1, 7), widths=(4, 6), attention_widths=(4,), leak=0.1)


@pytest.fixture(autouse=True)
def _no_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact times are not what is tested."""
    monkeypatch.setattr("david_cli.benchmark.timing.ROUND", 0.0)


@pytest.fixture(scope="session")
def attentive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a random network with attention that changes every picture."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    network = David(TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    save_network(network, path, {"data": "none"})
    return path


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of 64 x 48."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 64, 48, 20)
    return path
