"""Where the plan of an output is, and what it has done. Imports nothing heavy."""

from __future__ import annotations

import hashlib
from pathlib import Path

PLAN = "plan.json"
_LONGEST_NAME = 200  # bytes of an output's name that go into its folder's; names end at 255


def state_folder(target: Path) -> Path:
    """The hidden folder of an output's plan, beside it so that a rename suffices in the end."""
    name = target.name
    if len(name.encode()) > _LONGEST_NAME:
        name = f"{name[:40]}.{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return target.absolute().with_name(f".{name}.david")
