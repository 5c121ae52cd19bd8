"""david: dual-attentional video deblurring (Wu et al., WACV 2020) for files, frames and Python."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from david_cli.inference.deblurrer import Deblurrer
    from david_cli.inference.loading import load_deblurrer
    from david_cli.inference.pictures import deblur_frames
    from david_cli.inference.pipeline import deblur_video

__version__ = "0.1.0"
__all__ = ["Deblurrer", "__version__", "deblur_frames", "deblur_video", "load_deblurrer"]

_HOMES = {  # public name -> module; resolved on first use, so that --help never imports torch
    "Deblurrer": "david_cli.inference.deblurrer",
    "load_deblurrer": "david_cli.inference.loading",
    "deblur_frames": "david_cli.inference.pictures",
    "deblur_video": "david_cli.inference.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'david_cli' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
