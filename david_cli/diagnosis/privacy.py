"""Reports are pasted where everybody reads them: no home folder, no user name in any path."""

from __future__ import annotations

import getpass
import re
from pathlib import Path
from typing import Any

USER = "<user>"


def anonymous(value: Any) -> Any:
    """Text, or lists and dicts of it, with the home folder as ``~`` and the user as ``<user>``."""
    if isinstance(value, str):
        return _anonymous_text(value)
    if isinstance(value, dict):
        return {anonymous(key): anonymous(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [anonymous(item) for item in value]
    return value


def _anonymous_text(text: str) -> str:
    home, user = _home(), _user()
    if len(home) > 1:  # not "/", which services have
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    if user:
        text = re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$|[\s'\",;:])", USER, text)
    return text


def _home() -> str:
    try:
        return str(Path.home())
    except RuntimeError:  # a user whom the system does not know
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
