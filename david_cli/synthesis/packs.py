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
from david_cli.files import replace_file
from david_cli.synthesis.exposure import input_psnr

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


def read_packs(
    folders: Sequence[Path],
    levels: Sequence[int] | None = None,
    psnr: tuple[float, float] | None = None,
) -> Pack:
    """Load packs, or only their samples of some levels, or of some strength of blur.

    Args:
        folders: of the packs.
        levels: sub-frames per exposure; None for all.
        psnr: lowest and highest PSNR of the blurry centre in dB; None for all.

    Raises:
        InputError: a folder is no pack, is damaged or not complete, or differs in size from the
            others; or there are no such samples.
    """
    parts = [(path, rows) for folder in folders for path, rows in _rows_of(folder, levels, psnr)]
    total = sum(len(rows) for _, rows in parts)
    if not total:
        which = "" if levels is None else f" of level {', '.join(map(str, levels))}"
        which += "" if psnr is None else f" of {psnr[0]:g} to {psnr[1]:g} dB"
        raise InputError(f"no samples{which} in {', '.join(map(str, folders))}")
    shape = sample_shape(folders)
    blurry = torch.empty(total, *shape, dtype=torch.uint8)
    sharp = torch.empty(total, *shape[1:], dtype=torch.uint8)
    level = torch.empty(total, dtype=torch.uint8)
    start = 0
    for path, rows in parts:  # straight into place: packs may take half of the memory
        part = slice(start, start + len(rows))
        with _opened(path) as file:
            blurry[part] = file.get_tensor("blurry")[rows]
            sharp[part] = file.get_tensor("sharp")[rows]
            level[part] = file.get_tensor("level")[rows]
        start += len(rows)
    return Pack(blurry, sharp, level, describe(folders))


def describe(folders: Sequence[Path]) -> dict[str, Any]:
    """The records of folders, by names that differ.

    Raises:
        InputError: a folder is no pack.
    """
    records: dict[str, Any] = {}
    for folder in folders:
        name, copies = folder.resolve().name, 1
        while name in records:
            copies += 1
            name = f"{folder.resolve().name} ({copies})"
        try:
            records[name] = read_record(folder)
        except (OSError, ValueError) as err:
            raise InputError(f"{folder} is not a readable training pack: {err}") from err
    return records


def sample_shape(folders: Sequence[Path]) -> tuple[int, ...]:
    """(T, 3, S, S) of the windows of packs.

    Raises:
        InputError: a pack is damaged, or one differs from another.
    """
    shapes = {}
    for folder in folders:
        for path in _shards(folder):
            with _opened(path) as file:
                shapes[tuple(file.get_slice("blurry").get_shape()[1:])] = folder
    if len(shapes) > 1:
        (one, here), (other, there), *_ = shapes.items()
        raise InputError(
            "packs of different sample sizes cannot be mixed: "
            f"{here} has {one[0]} frames of {one[2]} pixels, {there} has {other[0]} of {other[2]}"
        )
    return next(iter(shapes))


def levels_in(folders: Sequence[Path]) -> set[int]:
    """The blur levels that packs hold samples of.

    Raises:
        InputError: a pack is damaged or not complete.
    """
    found: set[int] = set()
    for folder in folders:
        for path in _shards(folder):
            with _opened(path) as file:
                found.update(file.get_tensor("level").unique().tolist())
    return found


def has_samples(
    folders: Sequence[Path], levels: Sequence[int] | None, psnr: tuple[float, float] | None
) -> bool:
    """Whether packs hold any sample that ``read_packs`` would load; stops at the first.

    Raises:
        InputError: a pack is damaged or not complete.
    """
    return any(len(rows) for folder in folders for _, rows in _rows_of(folder, levels, psnr))


def read_record(folder: Path) -> dict[str, Any]:
    """How the pack in ``folder`` was made.

    Raises:
        OSError: there is none.
        ValueError: it is damaged.
    """
    record = json.loads((folder / RECORD).read_text())
    if not isinstance(record, dict):
        raise ValueError("its record is no JSON object")
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


def _shards(folder: Path) -> list[Path]:
    """The shards of a finished pack, in order."""
    try:
        settings = read_record(folder).get("settings") or {}
    except (OSError, ValueError) as err:
        raise InputError(f"{folder} is not a readable training pack: {err}") from err
    paths = sorted(folder.glob("shard-*.safetensors"))
    wanted = -(-settings["count"] // SHARD_SAMPLES) if "count" in settings else len(paths)
    if len(paths) < max(1, wanted):
        raise InputError(
            f"{folder} is not complete, {len(paths)} of {max(1, wanted)} shards are there: "
            "run its david synth command again"
        )
    return paths


def _rows_of(
    folder: Path, levels: Sequence[int] | None, psnr: tuple[float, float] | None
) -> Iterator[tuple[Path, Tensor]]:
    """Each shard of a pack, and the numbers of its samples of some levels and strengths."""
    for path in _shards(folder):
        with _opened(path) as file:
            level = file.get_tensor("level")
            keep = torch.ones_like(level, dtype=torch.bool)
            if levels is not None:
                keep = torch.isin(level, torch.tensor(levels, dtype=torch.uint8))
            if psnr is not None:
                blurry = file.get_slice("blurry")
                centre = blurry[:, blurry.get_shape()[1] // 2]
                strength = input_psnr(centre / 255, file.get_tensor("sharp") / 255)
                keep &= (strength >= psnr[0]) & (strength <= psnr[1])
        yield path, torch.nonzero(keep).squeeze(1)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError) as err:
        raise InputError(f"{path} is not a readable shard of a pack: {err}") from err
