"""Weights on disk: safetensors that carry their network's configuration, so a file alone suffices.

Metadata (all strings, as safetensors wants):

    format    "david-1"
    network   "david", "david-x" or "dbn"; files from before there were two lack it and hold a david
    config    JSON of DavidConfig, DavidXConfig or DbnConfig
    training  JSON: data, steps, recipe, as the trainer recorded them
    gain      JSON: {"3": dB, "7": dB, ...} measured gain over the blurry input, where measured
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from david_cli.errors import ModelError
from david_cli.files import replace_file
from david_cli.network.build import Config, Network, build, config_from_dict, kind_of
from david_cli.network.david import David
from david_cli.network.shipped import SUFFIX as SUFFIX
from david_cli.network.shipped import checksum as checksum
from david_cli.network.shipped import shipped_files

FORMAT = "david-1"


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says of itself."""

    name: str
    path: Path
    config: Config
    training: dict[str, Any]
    gain: dict[str, float]
    """Measured gain in dB per blur level; empty where it was not measured."""


def save_network(
    network: Network,
    path: Path,
    training: dict[str, Any],
    *,
    gain: dict[str, float] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a network with its configuration, complete or not at all.

    Args:
        network: whose weights to write.
        path: the file, conventionally ``*.safetensors``.
        training: what it was trained on and for how long.
        gain: measured gain per level, in dB.
        dtype: of the stored values, counters aside; float16 is what ships.
    """
    state = {k: _stored(v, dtype) for k, v in network.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "network": kind_of(network.config),
        "config": json.dumps(network.config.to_dict()),
        "training": json.dumps(training),
        "gain": json.dumps(gain or {}),
    }
    replace_file(path, save(state, metadata))


def record_gain(path: Path, gain: dict[str, float]) -> None:
    """Write a measured gain per level into a weights file; its tensors stay as they are.

    Raises:
        ModelError: damaged, or of another program.
    """
    read_info(path)
    with safe_open(path, "pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = {**file.metadata(), "gain": json.dumps(gain)}
    replace_file(path, save(state, metadata))


def load_network(model: str | Path) -> Network:
    """Build a network from a shipped name or a file, in float32, ready for inference.

    Raises:
        ModelError: no such model, or the file is damaged or of another program.
    """
    path = resolve_weights(model)
    network = build(read_info(path).config)
    try:
        with safe_open(path, "pt") as file:
            state = {
                key: _stored(file.get_tensor(key), torch.float32)
                for key in file.keys()  # noqa: SIM118
            }
        network.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as err:
        raise ModelError(_damaged(path, str(err).splitlines()[0])) from err
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise ModelError(_damaged(path, "it holds values that are not finite"))
    return network.eval()


def load_david(model: str | Path) -> David:
    """The same where only DAVID will do: it has branches and attention.

    Raises:
        ModelError: as load_network, or the model is another network.
    """
    network = load_network(model)
    if not isinstance(network, David):
        raise ModelError(f"{model} has no branches or attention of DAVID: give a DAVID model")
    return network


def resolve_weights(model: str | Path) -> Path:
    """The file of a shipped model's name, or of a path.

    Raises:
        ModelError: neither a shipped name nor a file.
    """
    names = [path.stem for path in shipped_files()]
    for path in shipped_files():
        if path.stem == str(model):
            return path
    path = Path(model)
    if path.is_file():
        return path
    raise ModelError(
        f"no model named {str(model)!r}: choose one of {', '.join(names) or 'none shipped'}, "
        f"or give the path of a {SUFFIX} file; 'david models' describes them"
    )


def shipped_models() -> list[WeightsInfo]:
    """The models that come with the package, in name order."""
    return [read_info(path) for path in shipped_files()]


def read_info(path: Path) -> WeightsInfo:
    """Configuration and history of a weights file, without its values.

    Raises:
        ModelError: damaged, or of another program.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as err:
        raise ModelError(_damaged(path, str(err))) from err
    if metadata.get("format") != FORMAT:
        raise ModelError(
            f"{path} holds no david network (no '{FORMAT}' mark): give a file written by david"
        )
    try:
        return WeightsInfo(
            name=path.stem,
            path=path,
            config=config_from_dict(
                metadata.get("network", "david"), json.loads(metadata["config"])
            ),
            training=json.loads(metadata.get("training", "{}")),
            gain=json.loads(metadata.get("gain", "{}")),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise ModelError(_damaged(path, f"unreadable configuration ({err})")) from err


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    """On the CPU in ``dtype``; batch normalisation's count of batches stays a whole number."""
    return value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()


def _damaged(path: Path, why: str) -> str:
    return f"{path} cannot be read as weights: {why}; copy or download the file again"
