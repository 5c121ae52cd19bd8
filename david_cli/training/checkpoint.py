"""The whole state of a run in one safetensors file: stopped and resumed, it equals a straight run.

Tensors, by prefix: ``network`` (float32 weights), ``average`` (their moving average), ``optimizer``
(Adam's moments), ``scaler`` (float16's loss scale), ``rng`` (every generator of torch). Metadata:
the step, and JSON of both configurations. No pickle anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from david_cli.errors import InputError
from david_cli.files import replace_file
from david_cli.network.build import Network
from david_cli.training.config import TrainConfig


@dataclass(frozen=True)
class RunState:
    """Everything that changes from step to step; ``save`` and ``resume`` work on it in place."""

    network: Network
    moving: dict[str, nn.Parameter]
    """The parameters that are trained, by name."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: dict[str, Tensor]
    """Moving average of the weights, by name."""
    origin: str = ""
    """What else the result depends on: earlier phases and the data; part of the identity."""

    def save(self, path: Path, config: TrainConfig, step: int) -> None:
        """Write the state after ``step`` steps, complete or not at all."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for name, parameter in self.moving.items():
            state = self.optimizer.state[parameter]
            tensors |= {f"optimizer.{name}.{k}": v for k, v in state.items()}
        scale = self.scaler.state_dict()
        tensors |= {f"scaler.{k}": torch.tensor(v, dtype=torch.float64) for k, v in scale.items()}
        tensors |= {f"rng.{k}": v for k, v in _generators().items()}
        metadata = {"step": str(step), **self._identity(config)}
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        replace_file(path, save(plain, metadata))

    def resume(self, path: Path, config: TrainConfig) -> int:
        """Restore everything from ``path`` if it exists; the step to go on with.

        Raises:
            InputError: the file is damaged, or belongs to another configuration.
        """
        if not path.exists():
            return 0
        try:
            with safe_open(path, "pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
            tensors = load_file(path)
        except (OSError, SafetensorError) as err:
            raise InputError(
                f"{path} cannot be read as a checkpoint ({err}): delete it to start afresh"
            ) from err
        expected = self._identity(config)
        if {k: metadata.get(k) for k in expected} != expected:
            raise InputError(
                f"{path} belongs to another configuration{_difference(metadata, expected)}: "
                "restore the recipe, write to another folder, or delete the checkpoint"
            )
        self._restore(tensors)
        return int(metadata["step"])

    def _identity(self, config: TrainConfig) -> dict[str, str]:
        return {
            "network": json.dumps(self.network.config.to_dict(), sort_keys=True),
            "training": json.dumps(config.identity(), sort_keys=True),
            "origin": json.dumps(self.origin),
        }

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self.network.load_state_dict(_under("network.", tensors))
        for name, value in _under("average.", tensors).items():
            self.average[name].copy_(value)
        # only a fused step counts on the device; any other would wait for it to read the count
        clock = None if self.optimizer.defaults.get("fused") else "cpu"
        for name, parameter in self.moving.items():
            state = _under(f"optimizer.{name}.", tensors)
            self.optimizer.state[parameter] = {  # in the parameter's own layout, as Adam's are
                k: v.to(clock or parameter.device) if k == "step" else _like(parameter, v)
                for k, v in state.items()
            }
        scale = {k: v.item() for k, v in _under("scaler.", tensors).items()}
        scale |= {k: int(scale[k]) for k in ("growth_interval", "_growth_tracker") if k in scale}
        if scale:
            self.scaler.load_state_dict(scale)
        torch.set_rng_state(tensors["rng.cpu"])
        for i in range(torch.cuda.device_count()):
            if f"rng.cuda.{i}" in tensors:
                torch.cuda.set_rng_state(tensors[f"rng.cuda.{i}"], i)


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(parameter).copy_(value)


def saved_step(path: Path) -> int:
    """The step of a checkpoint; 0 where there is none, or none that can be read."""
    try:
        with safe_open(path, "pt") as file:
            return int(file.metadata()["step"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return 0  # `resume` says what is wrong


def _generators() -> dict[str, Tensor]:
    cuda = {f"cuda.{i}": torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())}
    return {"cpu": torch.get_rng_state(), **cuda}


def _difference(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """The first setting that differs, for the error message."""
    for part, text in expected.items():
        theirs, ours = json.loads(found.get(part, "{}")), json.loads(text)
        if part == "origin":
            return " (earlier phases or the packs differ)" if theirs != ours else ""
        for key in ours:
            if theirs.get(key) != ours[key]:
                return f" ({part}: {key} was {theirs.get(key)}, is {ours[key]})"
    return ""


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
