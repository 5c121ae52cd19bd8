"""The tiny network and clip of the command line's tests, here too."""

from __future__ import annotations

from tests.cli.conftest import clip, tiny_model

__all__ = ["clip", "tiny_model"]
