"""Fixtures that every layer's tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


for variable in ("FORCE_COLOR", "NO_COLOR", "PY_COLORS"):
    os.environ.pop(variable, None)  # a developer's taste is no part of what is tested
for variable in [name for name in os.environ if name.startswith("DAVID_")]:
    del os.environ[variable]
os.environ["DAVID_CONFIG"] = os.devnull  # nor are a developer's own files


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> None:
    """A background job starts with some signals ignored, and so would the commands under test."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests run tiny networks: more threads would only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real media beside the checkout; tests that want it skip without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real media is not here")
    return folder
