"""Where the plan of an output is, and what it has done. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

PLAN = "plan.json"
_LONGEST_NAME = 200  # bytes of a file's name that go into another; names end at 255


def state_folder(target: Path) -> Path:
    """The hidden folder of an output's plan, beside it so that a rename suffices in the end."""
    return target.absolute().with_name(f".{short_name(target)}.david")


def short_name(file: Path) -> str:
    """A file's name, shortened where what is to be added would make it too long for a name."""
    name, stored = file.name, os.fsencode(file.name)  # which need not be UTF-8
    if len(stored) <= _LONGEST_NAME:
        return name
    return f"{name[:40]}.{hashlib.sha256(stored).hexdigest()[:8]}"
