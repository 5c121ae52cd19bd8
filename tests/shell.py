"""A shell in which `david` is the code under test, installed or not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.conftest import ROOT


def environment(folder: Path) -> dict[str, str]:
    """Environment variables with a `david` in ``folder`` that comes first on the path."""
    command = folder / "david"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m david_cli "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join((str(folder), os.environ["PATH"]))
    # one thread: on a busy machine several would wait for each other
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
