"""Training packs: thousands of (blurry window, sharp centre) samples in a few files.

A pack is a folder of ``shard-NNNN.safetensors`` and one ``pack.json`` that records how it was made
(settings, seed, sources with checksums and licences, library versions). Each shard holds

    blurry  (n, T, 3, S, S) uint8    the window of T blurry frames
    sharp   (n, 3, S, S)    uint8    the truth of the centre frame
    level   (n,)            uint8    sub-frames per exposure

Nothing here knows how samples are made, so that training reads packs without PyAV and PIL.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from david_cli.errors import InputError, OutputError

SHARD_SAMPLES = 256
RECORD = "pack.json"
"""The file that records how a pack was made."""
MEASURED = "measured"
"""The part of a record that is known only afterwards."""


@dataclass(frozen=True)
class Sample:
    """One training sample as stored."""

    blurry: Tensor
    """(T, 3, S, S) uint8."""
    sharp: Tensor
    """(3, S, S) uint8."""
    level: int
    """Sub-frames per exposure."""


@dataclass(frozen=True)
class Pack:
    """Packs opened for training, in memory."""

    blurry: Tensor
    """(n, T, 3, S, S) uint8."""
    sharp: Tensor
    """(n, 3, S, S) uint8."""
    level: Tensor
    """(n,) uint8."""
    description: dict[str, Any]
    """pack.json of each folder, by its name."""

    def __len__(self) -> int:
        return len(self.level)


def read_packs(folders: Sequence[Path], levels: Sequence[int] | None = None) -> Pack:
    """Load packs, or only their samples of some levels.

    Raises:
        InputError: a folder is no pack, is damaged, or differs in size from the others; or there
            are no samples, of these levels.
    """
    parts: dict[str, list[Tensor]] = {"blurry": [], "sharp": [], "level": []}
    description = {}
    for folder in folders:
        try:
            description[folder.name] = read_record(folder)
            for shard in sorted(folder.glob("shard-*.safetensors")):
                for name, tensor in _read_shard(shard, levels):
                    parts[name].append(tensor)
        except (OSError, ValueError, SafetensorError) as err:
            raise InputError(f"{folder} is not a readable training pack: {err}") from err
    if not sum(map(len, parts["level"])):
        which = "" if levels is None else f" of level {', '.join(map(str, levels))}"
        raise InputError(f"no samples{which} in {', '.join(map(str, folders))}")
    if len({t.shape[1:] for t in parts["blurry"]}) > 1:
        raise InputError("packs of different sample sizes cannot be mixed")
    blurry, sharp, level = (torch.cat(parts[name]) for name in ("blurry", "sharp", "level"))
    return Pack(blurry, sharp, level, description)


def levels_in(folders: Sequence[Path]) -> set[int]:
    """The blur levels that packs hold samples of.

    Raises:
        InputError: a pack is damaged.
    """
    found: set[int] = set()
    for shard in (path for folder in folders for path in folder.glob("shard-*.safetensors")):
        try:
            with safe_open(shard, "pt") as file:
                found.update(file.get_tensor("level").unique().tolist())
        except (OSError, SafetensorError) as err:
            raise InputError(f"{shard} is not a readable training pack: {err}") from err
    return found


def read_record(folder: Path) -> dict[str, Any]:
    """How the pack in ``folder`` was made.

    Raises:
        OSError: there is none.
        ValueError: it is damaged.
    """
    record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    return record


def open_pack(target: Path, record: dict[str, Any]) -> None:
    """Make the folder of a pack and write its record, or check that it is the same pack.

    Raises:
        OutputError: ``target`` holds a pack made with other settings.
    """
    target.mkdir(parents=True, exist_ok=True)
    described = target / RECORD
    record = json.loads(json.dumps(record))  # tuples become lists, as in the file
    if described.exists() and _record_of(described) != record:
        raise OutputError(f"{target} holds a pack made with other settings; choose another folder")
    if not described.exists():
        _write_record(described, record)


def note_measured(target: Path, measured: dict[str, Any]) -> None:
    """Add what was measured of a finished pack to its record."""
    described = target / RECORD
    _write_record(described, {**_record_of(described), MEASURED: measured})


def write_shard(target: Path, number: int, samples: Sequence[Sample]) -> None:
    """Write one shard of a pack; it appears under its name when it is complete."""
    tensors = {
        "blurry": torch.stack([s.blurry for s in samples]),
        "sharp": torch.stack([s.sharp for s in samples]),
        "level": torch.tensor([s.level for s in samples], dtype=torch.uint8),
    }
    replace_file(shard_path(target, number), save(tensors))


def shard_path(target: Path, number: int) -> Path:
    """Where shard ``number`` of the pack in ``target`` lies."""
    return target / f"shard-{number:04d}.safetensors"


def replace_file(path: Path, data: bytes) -> None:
    """Write under a temporary name, then rename: a file under its name is always complete."""
    partial_path = path.with_suffix(".part")
    partial_path.write_bytes(data)
    partial_path.replace(path)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that takes its name when all went well and something is in it."""
    if target.exists():
        raise OutputError(f"{target} exists; choose another folder with -o")
    folder = target.with_name(f".{target.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        if any(folder.iterdir()):
            folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _record_of(described: Path) -> dict[str, Any]:
    """The record as it was when the pack was begun; empty where it is damaged."""
    try:
        record = json.loads(described.read_text()).items()
    except (ValueError, AttributeError):
        return {}
    return {key: value for key, value in record if key != MEASURED}


def _write_record(described: Path, record: dict[str, Any]) -> None:
    replace_file(described, (json.dumps(record, indent=1) + "\n").encode())


def _read_shard(shard: Path, levels: Sequence[int] | None) -> Iterator[tuple[str, Tensor]]:
    with safe_open(shard, "pt") as file:
        keep: Tensor | slice = slice(None)
        if levels is not None:
            keep = torch.isin(file.get_tensor("level"), torch.tensor(levels, dtype=torch.uint8))
        for name in ("blurry", "sharp", "level"):
            yield name, file.get_tensor(name)[keep]
