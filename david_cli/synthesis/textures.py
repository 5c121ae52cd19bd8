"""Textures for rendering on the training device: many small cuts of photographs in one file.

A folder of textures holds ``pack.json``, which records how it was made, and
``textures.safetensors``: the JPEG files of all cuts, one behind the other (``jpeg``, uint8), and
where each ends (``ends``, int64). Four hundred cuts of up to 256x256 take about 14 MB, and ``load``
turns them into one uint8 tensor on the device. Pillow is needed for making and loading alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from david_cli.errors import InputError
from david_cli.files import replace_file
from david_cli.synthesis.chance import generator_for
from david_cli.synthesis.packs import open_pack
from david_cli.synthesis.settings import TextureSettings

FILE = "textures.safetensors"
QUALITY = 95
"""Of the JPEG files, with full chroma: a cut takes about 35 kB."""


@dataclass(frozen=True, kw_only=True)
class TextureStoreSettings(TextureSettings):
    """How a folder of textures is made."""

    count: int
    """Number of cuts; every photograph gives equally many, give or take one."""
    edge: int = 256
    """Largest height and width of a cut in pixels; the smallest is half of it."""
    seed: int = 1


@dataclass(frozen=True)
class Textures:
    """Sharp pictures on the training device."""

    pictures: Tensor
    """(P, 3, E, E) uint8; cuts that were smaller are mirrored to this size."""

    def __len__(self) -> int:
        return len(self.pictures)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Textures:
        """Read a folder made by ``david synth --textures``.

        Raises:
            InputError: it is none, or is damaged.
        """
        from PIL import Image

        try:
            stored = load_file(folder / FILE)
            data, ends = stored["jpeg"].numpy().tobytes(), stored["ends"].tolist()
            cuts = []
            for start, end in zip([0, *ends], ends, strict=False):
                with Image.open(io.BytesIO(data[start:end])) as image:
                    cuts.append(np.array(image))
        except (OSError, KeyError, SafetensorError) as err:
            raise InputError(f"{folder} is not a readable folder of textures: {err}") from err
        edge = max(max(cut.shape[:2]) for cut in cuts)
        pictures = torch.stack([torch.from_numpy(_mirrored(cut, edge)) for cut in cuts])
        return cls(pictures.permute(0, 3, 1, 2).contiguous().to(device))


def make_textures(
    photos: Sequence[Path],
    target: Path,
    settings: TextureStoreSettings,
    sources: dict[str, Any],
    *,
    on_texture: Callable[[int, int], None] | None = None,
) -> None:
    """Cut textures out of photographs into the folder ``target``.

    Args:
        photos: sharp pictures, from ``footage.sharp_pictures``.
        target: folder, made if absent.
        settings: how many, how large.
        sources: what else the folder records.
        on_texture: called with (cuts done, cuts in all).

    Raises:
        OutputError: ``target`` holds textures made with other settings.
        InputError: a photograph cannot be read.
    """
    open_pack(target, {"settings": asdict(settings), **sources})
    files = []
    for k in range(settings.count):
        files.append(_cut(photos, settings, k))
        if on_texture:
            on_texture(k + 1, settings.count)
    tensors = {
        "jpeg": torch.frombuffer(bytearray(b"".join(files)), dtype=torch.uint8),
        "ends": torch.tensor([len(file) for file in files]).cumsum(0),
    }
    replace_file(target / FILE, save(tensors))


def _cut(photos: Sequence[Path], settings: TextureStoreSettings, k: int) -> bytes:
    """Texture ``k`` as a JPEG file: photographs take turns, in a new order every time round."""
    from PIL import Image

    from david_cli.synthesis.dataset import random_texture
    from david_cli.synthesis.recording import to_bytes

    turn, place = divmod(k, len(photos))
    order = torch.randperm(len(photos), generator=generator_for(settings.seed, turn, 0))
    g = generator_for(settings.seed, k, 1)
    texture = random_texture(photos[int(order[place])], settings, settings.edge // 2, g)
    data = io.BytesIO()
    pixels = to_bytes(texture).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(data, "JPEG", quality=QUALITY, subsampling=0)
    return data.getvalue()


def _mirrored(cut: np.ndarray[Any, np.dtype[np.uint8]], edge: int) -> np.ndarray[Any, Any]:
    """(h, w, 3) -> (edge, edge, 3), continued as the renderer continues what it sees."""
    h, w, _ = cut.shape
    return np.pad(cut, ((0, edge - h), (0, edge - w), (0, 0)), mode="symmetric")
