"""A recipe run to its end: every phase starts from the ones before it, and resumes if stopped.

Section 4.1 in this form: branches alone; each internal module on its own level, attention first
with frozen branches, then all of it; the external branch; all attention; everything.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.network.assemble import assemble
from david_cli.network.build import Network, build
from david_cli.network.david import David, DavidConfig
from david_cli.network.davidx import DavidXConfig, begin
from david_cli.network.weights import load_network, save_network
from david_cli.training import processes
from david_cli.training.batches import read_source
from david_cli.training.checkpoint import saved_step
from david_cli.training.checks import check_phases, source_of
from david_cli.training.history import check_trained, history, origin_of
from david_cli.training.recipe import Phase, Recipe
from david_cli.training.trainer import StepLog, arithmetic, train


@dataclass(frozen=True)
class PhaseStarted:
    """A phase begins, or goes on from its checkpoint."""

    phase: Phase
    network: Network
    samples: int
    """In the packs, of the phase's levels."""
    step: int
    """Where it begins: 0, or its checkpoint's."""


@dataclass(frozen=True)
class Logged:
    """Means over the last steps of a phase."""

    phase: Phase
    log: StepLog


@dataclass(frozen=True)
class Checkpointed:
    """A checkpoint was written; the averaged weights may be looked at, not changed."""

    phase: Phase
    step: int
    network: Network
    """A copy with the averaged weights, ready for inference."""


@dataclass(frozen=True)
class PhaseDone:
    """A phase's weights are written."""

    phase: Phase
    weights: Path
    trained_now: bool
    """False where they were there already."""


Event = PhaseStarted | Logged | Checkpointed | PhaseDone


def run_recipe(
    recipe: Recipe,
    packs: Sequence[Path],
    folder: Path,
    *,
    only: Sequence[str] = (),
    device: torch.device | str = "cpu",
    on_event: Callable[[Event], None] = lambda event: None,
) -> None:
    """Train every phase into ``folder/<phase>.safetensors``, leaving out what is there already.

    Args:
        recipe: the phases.
        packs: folders made by ``david synth``.
        folder: where weights, and the checkpoint of the phase that runs, are written.
        only: names of phases to run; all where empty.
        device: where to compute.
        on_event: told what happens, in the first process.

    Raises:
        InputError: weights or a checkpoint in ``folder`` come from other settings.
        DavidError: a loss became NaN.
    """
    if unknown := set(only) - {phase.name for phase in recipe.phases}:
        raise InputError(f"the recipe {recipe.name} has no phase named {sorted(unknown)[0]}")
    wanted = [phase for phase in recipe.phases if not only or phase.name in only]
    check_phases(recipe, wanted, packs, folder)
    folder.mkdir(parents=True, exist_ok=True)
    tell = on_event if processes.rank() == 0 else lambda event: None
    for phase in wanted:
        target = folder / f"{phase.name}.safetensors"
        if target.exists():
            check_trained(target, recipe, phase)
            tell(PhaseDone(phase, target, trained_now=False))
            continue
        _run_phase(recipe, phase, packs, target, device, tell)
        tell(PhaseDone(phase, target, trained_now=True))


def starting_point(phase: Phase, recipe: Recipe, folder: Path) -> Network:
    """The network that a phase starts from: new, trained before, or assembled from trained parts.

    Raises:
        InputError: what it starts from is not there, or does not fit.
        ModelError: what it starts from cannot be read.
    """
    torch.manual_seed(phase.training.seed)
    if not phase.start:
        return build(phase.network)
    sources = [load_network(source_of(name, recipe, folder)) for name in phase.start]
    if len(sources) == 1 and sources[0].config == phase.network:
        return sources[0]
    davids = [source for source in sources if isinstance(source, David)]
    if len(davids) < len(sources) or not isinstance(phase.network, DavidConfig | DavidXConfig):
        raise InputError(f"phase {phase.name}: only david networks can be assembled")
    try:
        if isinstance(phase.network, DavidXConfig):
            return begin(phase.network, davids)
        return assemble(davids, phase.network)
    except ValueError as err:
        raise InputError(f"phase {phase.name}, start {', '.join(phase.start)}: {err}") from err


def _run_phase(
    recipe: Recipe,
    phase: Phase,
    packs: Sequence[Path],
    target: Path,
    device: torch.device | str,
    tell: Callable[[Event], None],
) -> None:
    source = read_source(packs, phase.training, phase.network.frames, device)
    network = starting_point(phase, recipe, target.parent)
    checkpoint = target.with_name(f"{phase.name}.checkpoint.safetensors")
    tell(PhaseStarted(phase, network, len(source), saved_step(checkpoint)))
    started = time.monotonic()

    def checkpointed(step: int, average: dict[str, Tensor]) -> None:
        tell(Checkpointed(phase, step, _with_weights(network, average)))

    average = train(
        network,
        source,
        phase.training,
        checkpoint,
        origin=origin_of(recipe, phase, source),
        device=device,
        on_log=lambda log: tell(Logged(phase, log)),
        on_checkpoint=checkpointed,
    )
    if processes.rank() == 0:
        seconds = time.monotonic() - started
        precision = arithmetic(phase.training, torch.device(device))
        trained = _with_weights(network, average)
        save_network(trained, target, history(recipe, phase, source, seconds, precision))
        checkpoint.unlink()
    processes.wait_for_all()


def _with_weights(network: Network, weights: dict[str, Tensor]) -> Network:
    filled = copy.deepcopy(network)
    filled.load_state_dict(weights)
    return filled.eval()
