"""One training loop: packs in, averaged weights out; stopped and resumed it equals a straight run.

Several processes under torchrun share every batch and average their gradients, so that they take
the same steps as one process would, but for the order of sums.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from david_cli.errors import DavidError
from david_cli.inference.device import multiplies_bf16
from david_cli.network.build import Network
from david_cli.network.david import David
from david_cli.network.davidx import DavidX
from david_cli.training import processes
from david_cli.training.batches import Source, draw_batch
from david_cli.training.checkpoint import RunState, saved_step
from david_cli.training.config import Part, TrainConfig
from david_cli.training.losses import (
    ATTENTION_LOSSES,
    choice_loss,
    loss_of,
    module_loss,
    module_of_blur,
    module_of_level,
)
from david_cli.training.muon import Muon

SMALLEST_SCALE = 2.0**-10
"""Loss scale of float16 below which an overflow is none: the gradient itself is broken."""


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
    network: Network,
    source: Source,
    config: TrainConfig,
    checkpoint: Path,
    *,
    origin: str = "",
    device: torch.device | str = "cpu",
    on_log: Callable[[StepLog], None] | None = None,
    on_checkpoint: Callable[[int, dict[str, Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """Train ``network`` in place.

    Args:
        network: where to start; a ``checkpoint`` that exists takes precedence.
        source: of the samples; packs are limited to ``config.levels`` already.
        config: hyper-parameters.
        checkpoint: ``*.safetensors``, written at a line of the log every few minutes, and at the
            end.
        origin: what else the result depends on; a checkpoint of another origin is refused.
        device: where to compute.
        on_log: called every ``log_every`` steps, in the first process.
        on_checkpoint: called with the step and the averaged weights after each checkpoint, in the
            first process.

    Returns:
        The moving average of the weights.

    Raises:
        DavidError: the loss became NaN or infinite; the last checkpoint stays, if one was due.
        InputError: the checkpoint is damaged or belongs to another configuration.
    """
    rank, world = processes.rank(), processes.world()
    processes.share(config.batch)
    run = start_run(network.to(device).train(), config, origin)
    first = run.resume(checkpoint, config)
    processes.wait_for_all()  # none may finish, and remove the checkpoint, before all have read it
    started = saved = time.monotonic()
    sums, since = torch.zeros(3, dtype=torch.float64), first
    for step in range(first, config.steps):
        lr = learning_rate(config, step)
        for group in run.optimizer.param_groups:
            group["lr"] = lr
        batch = draw_batch(source, config, step, rank=rank, world=world, device=device)
        figures = train_step(run, config, step, *batch)
        if not figures.isfinite().all():
            raise DavidError(_broken(checkpoint, step, figures[0].item()))
        sums += figures
        last = step + 1 == config.steps
        if not last and (step + 1) % config.log_every:
            continue
        loss, gain, gradient = (sums / (step + 1 - since)).tolist()
        sums, since = torch.zeros_like(sums), step + 1
        if rank != 0:
            continue
        if on_log:
            on_log(StepLog(step + 1, loss, gain, gradient, lr, time.monotonic() - started))
        if last or time.monotonic() - saved > 60 * config.checkpoint_minutes:
            run.save(checkpoint, config, step + 1)
            if on_checkpoint:
                on_checkpoint(step + 1, run.average)
            saved = time.monotonic()  # after the callback, which may take longer than the interval
    return run.average


def arithmetic(config: TrainConfig, device: torch.device) -> torch.dtype:
    """What the network computes in on a device, where ``auto`` leaves that open.

    A CPU that has to emulate bfloat16 takes ten times as long as in float32.
    """
    if config.precision != "auto":
        return getattr(torch, config.precision)  # type: ignore[no-any-return]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and multiplies_bf16()
    return torch.bfloat16 if native else torch.float32


def start_run(network: Network, config: TrainConfig, origin: str = "") -> RunState:
    """Optimiser, loss scale and moving average for the part of ``network`` that is to move."""
    moving = select(network, config.part)
    optimizer = make_optimizer(moving, config)
    device = next(network.parameters()).device.type
    scaler = torch.amp.GradScaler(device, enabled=config.precision == "float16")
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return RunState(network, moving, optimizer, scaler, average, origin)


def make_optimizer(moving: dict[str, nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """Adam, or Muon, over parameters by name."""
    if config.optimizer == "muon":
        return Muon(moving, config.lr, config.betas, config.weight_decay)
    # Adam's update is elementwise: the fused kernel is the same arithmetic in one pass
    return torch.optim.AdamW(
        moving.values(), config.lr, config.betas, weight_decay=config.weight_decay, fused=True
    )


def train_step(
    run: RunState, config: TrainConfig, step: int, blurry: Tensor, sharp: Tensor, level: Tensor
) -> Tensor:
    """Forward, backward, clip, step, average.

    Args:
        run: changed in place, unless the gradient is not finite.
        config: hyper-parameters; the learning rate is the optimiser's.
        step: for the moving average, which starts fast.
        blurry: (B, T, 3, S, S) in [0, 1].
        sharp: (B, 3, S, S).
        level: (B,) sub-frames per exposure.

    Returns:
        (3,) float64 on the CPU: loss, gain over the blurry centre in dB, norm of the gradient.
    """
    centre = blurry[:, blurry.shape[1] // 2]
    dtype = arithmetic(config, blurry.device)
    with torch.autocast(blurry.device.type, dtype, enabled=dtype != torch.float32):
        if config.loss in ATTENTION_LOSSES:
            if config.loss == "level":
                module = module_of_level(level)
            else:
                module = module_of_blur(centre, sharp, config.blur_bounds)
            prediction, loss = centre, module_loss(_external_maps(run.network, blurry), module)
        elif isinstance(run.network, DavidX) and config.choice:
            prediction, changes, logits = run.network.explain(blurry)
            weight = config.choice * learning_rate(config, step) / config.lr
            loss = loss_of(config.loss, prediction.float(), sharp, floor=config.psnr_floor)
            loss = loss + weight * choice_loss(logits, changes, centre, sharp)
        else:
            prediction = run.network(blurry)
            loss = loss_of(config.loss, prediction.float(), sharp, floor=config.psnr_floor)
    run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    # before unscaling, so that all processes see an overflow
    processes.average([p.grad for p in run.moving.values() if p.grad is not None])
    run.scaler.unscale_(run.optimizer)
    norm = nn.utils.clip_grad_norm_(list(run.moving.values()), config.clip)
    gain = loss_of("psnr", centre, sharp) - loss_of("psnr", prediction.detach().float(), sharp)
    if run.scaler.is_enabled() and not norm.isfinite() and run.scaler.get_scale() > SMALLEST_SCALE:
        norm = torch.zeros_like(norm)  # an overflow in float16: the scaler skips the step
    figures = torch.stack((loss.detach(), gain, norm)).float()
    processes.average([figures])  # so that all processes see what breaks down in one
    figures = figures.cpu().double()
    if figures.isfinite().all():
        run.scaler.step(run.optimizer)
        run.scaler.update()
        _update_average(run, min(config.ema, (1 + step) / (10 + step)))
    run.optimizer.zero_grad(set_to_none=True)
    return figures


def select(network: Network, part: Part) -> dict[str, nn.Parameter]:
    """Freeze everything but ``part`` and give the parameters that move, by name.

    Raises:
        DavidError: the network has no such part.
    """
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
    warmup = min(config.warmup, config.steps // 10)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    return config.final_lr + (config.lr - config.final_lr) * (1 + math.cos(math.pi * progress)) / 2


def _broken(checkpoint: Path, step: int, loss: float) -> str:
    """What to say when the loss is no number any more."""
    kept = saved_step(checkpoint)
    state = f"{checkpoint} keeps the state after step {kept}" if kept else "no checkpoint was due"
    return (
        f"training broke down at step {step} (loss {loss}); {state}: lower `lr` in the recipe and "
        "train again, into another folder or without the checkpoint"
    )


def _external_maps(network: Network, blurry: Tensor) -> Tensor:
    if not isinstance(network, David) or network.external is None:
        raise DavidError("this loss trains external attention, which this network has not")
    return network.external_maps(blurry)


@torch.no_grad()
def _update_average(run: RunState, decay: float) -> None:
    """Follow the moving parameters slowly, and buffers at once."""
    names = list(run.moving)
    torch._foreach_lerp_(
        [run.average[name] for name in names], list(run.moving.values()), 1 - decay
    )
    for name, buffer in run.network.named_buffers():
        run.average[name].copy_(buffer)
