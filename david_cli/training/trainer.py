"""One training loop: packs in, weights out; stopped and resumed it equals a straight run.

The batch of step s is a pure function of (seed, s), so a checkpoint needs no loader state: it holds
the weights, their moving average, the optimiser and the step, as safetensors and JSON.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from david_cli.errors import DavidError, InputError
from david_cli.network.david import David
from david_cli.synthesis.dataset import Pack
from david_cli.training.config import Part, TrainConfig
from david_cli.training.losses import level_loss, loss_of


@dataclass(frozen=True)
class StepLog:
    """Means over the last ``log_every`` steps."""

    step: int
    loss: float
    gain: float
    """PSNR of the prediction minus that of the blurry centre, dB, mean over samples."""
    gradient: float
    """Norm of the gradient before clipping."""
    lr: float
    seconds: float
    """Since the run started or resumed."""


def train(
    network: David,
    pack: Pack,
    config: TrainConfig,
    checkpoint: Path,
    *,
    device: torch.device | str = "cpu",
    on_log: Callable[[StepLog], None] | None = None,
    on_checkpoint: Callable[[int, dict[str, Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """Train ``network`` in place.

    Args:
        network: where to start; a ``checkpoint`` that exists takes precedence.
        pack: samples, already limited to ``config.levels``.
        config: hyper-parameters.
        checkpoint: ``*.safetensors``, written every few minutes and at the end.
        device: where to compute.
        on_log: called every ``log_every`` steps.
        on_checkpoint: called with the step and the averaged weights after each checkpoint.

    Returns:
        The moving average of the weights.

    Raises:
        DavidError: the loss became NaN or infinite; the last checkpoint stays.
        InputError: the checkpoint belongs to another configuration.
    """
    network.to(device).train()
    moving = select(network, config.part)
    # Adam's update is elementwise: the fused kernel is the same arithmetic in one pass
    optimizer = torch.optim.AdamW(
        moving.values(), config.lr, config.betas, weight_decay=config.weight_decay, fused=True
    )
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    first = _resume(checkpoint, config, network, optimizer, moving, average)

    centre = network.config.frames // 2
    started = saved = time.monotonic()
    sums, since = torch.zeros(3, dtype=torch.float64), first
    for step in range(first, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        blurry, sharp, level = (t.to(device) for t in draw_batch(pack, config, step))
        prediction, external, _ = network.explain(blurry)
        if config.loss == "level" and external is not None:
            loss = level_loss(external, level)
        else:
            loss = loss_of(config.loss, prediction, sharp)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(list(moving.values()), config.clip)
        if not torch.isfinite(loss + norm):
            raise DavidError(
                f"training broke down at step {step} (loss {loss.item()}): "
                f"{checkpoint} holds the last good state; lower the learning rate"
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        _update_average(average, moving, min(config.ema, (1 + step) / (10 + step)))

        gain = loss_of("psnr", blurry[:, centre], sharp) - loss_of(
            "psnr", prediction.detach(), sharp
        )
        sums += torch.stack((loss.detach(), gain, norm)).double().cpu()
        if (step + 1) % config.log_every == 0:
            loss_mean, gain_mean, norm_mean = (sums / (step + 1 - since)).tolist()
            sums, since = torch.zeros_like(sums), step + 1
            if on_log:
                seconds = time.monotonic() - started
                lr = learning_rate(config, step)
                on_log(StepLog(step + 1, loss_mean, gain_mean, norm_mean, lr, seconds))
        last = step + 1 == config.steps
        if last or time.monotonic() - saved > 60 * config.checkpoint_minutes:
            _save(checkpoint, config, step + 1, network, optimizer, moving, average)
            saved = time.monotonic()
            if on_checkpoint:
                on_checkpoint(step + 1, average)
    return average


def select(network: David, part: Part) -> dict[str, nn.Parameter]:
    """Freeze everything but ``part`` and give the parameters that move, by name."""
    chosen = {}
    for name, parameter in network.named_parameters():
        moves = part == "all" or (
            name.startswith("external.")
            if part == "external"
            else ".attention." in name or name.startswith("external.")
        )
        parameter.requires_grad_(moves)
        if moves:
            chosen[name] = parameter
    if not chosen:
        raise DavidError(f"this network has no {part} part to train")
    return chosen


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then one cosine from ``lr`` to ``final_lr``."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.final_lr + (config.lr - config.final_lr) * (1 + math.cos(math.pi * progress)) / 2


def draw_batch(pack: Pack, config: TrainConfig, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """The batch of one step: random crops, flips, quarter turns and time reversals.

    Returns:
        (B, T, 3, crop, crop) blurry and (B, 3, crop, crop) sharp, float32 in [0, 1]; (B,) levels.
    """
    g = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    size = pack.sharp.shape[-1]
    if config.crop > size:
        raise InputError(f"crops of {config.crop} do not fit samples of {size} pixels")
    rows = torch.randint(len(pack), (config.batch,), generator=g).tolist()
    offsets = torch.randint(size - config.crop + 1, (config.batch, 2), generator=g).tolist()
    turns = torch.randint(16, (config.batch,), generator=g).tolist()
    blurry, sharp = [], []
    for row, (y, x), turn in zip(rows, offsets, turns, strict=True):
        area = (..., slice(y, y + config.crop), slice(x, x + config.crop))
        window, truth = pack.blurry[row][area], pack.sharp[row][area]
        if turn & 1:
            window = window.flip(0)  # time
        if turn & 2:
            window, truth = window.flip(-1), truth.flip(-1)
        if turn & 4:
            window, truth = window.flip(-2), truth.flip(-2)
        if turn & 8:
            window, truth = window.transpose(-1, -2), truth.transpose(-1, -2)
        blurry.append(window)
        sharp.append(truth)
    windows, truths = (torch.stack(part).float().div_(255) for part in (blurry, sharp))
    return windows, truths, pack.level[rows]


@torch.no_grad()
def _update_average(
    average: dict[str, Tensor], moving: dict[str, nn.Parameter], decay: float
) -> None:
    torch._foreach_lerp_([average[n] for n in moving], list(moving.values()), 1 - decay)


def _save(
    path: Path,
    config: TrainConfig,
    step: int,
    network: David,
    optimizer: torch.optim.Optimizer,
    moving: dict[str, nn.Parameter],
    average: dict[str, Tensor],
) -> None:
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for name, parameter in moving.items():
        tensors |= {f"optimizer.{name}.{k}": v for k, v in optimizer.state[parameter].items()}
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    metadata = {
        "step": str(step),
        "network": json.dumps(network.config.to_dict()),
        "training": json.dumps(asdict(config)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(save(tensors, metadata))
    unfinished.replace(path)


def _resume(
    path: Path,
    config: TrainConfig,
    network: David,
    optimizer: torch.optim.Optimizer,
    moving: dict[str, nn.Parameter],
    average: dict[str, Tensor],
) -> int:
    """Restore everything from ``path`` if it exists; the step to go on with."""
    if not path.exists():
        return 0
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
        tensors = load_file(path)
    except (OSError, SafetensorError) as err:
        raise InputError(f"{path} cannot be read as a checkpoint: {err}") from err
    same = json.loads(json.dumps([network.config.to_dict(), asdict(config)]))
    if [json.loads(metadata.get(k, "0")) for k in ("network", "training")] != same:
        raise InputError(f"{path} belongs to another configuration; choose another checkpoint")
    network.load_state_dict(_under("network.", tensors))
    for name, value in _under("average.", tensors).items():
        average[name].copy_(value)
    for name, parameter in moving.items():
        state = _under(f"optimizer.{name}.", tensors)
        optimizer.state[parameter] = {  # in the parameter's own layout, as Adam makes them
            k: v.clone() if k == "step" else torch.empty_like(parameter).copy_(v)
            for k, v in state.items()
        }
    return int(metadata["step"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
