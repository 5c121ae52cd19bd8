"""A recipe run to its end: every phase starts from the ones before it, and resumes if stopped.

Section 4.1 in this form: branches alone; each internal module on its own level, attention first
with frozen branches, then all of it; the external branch; all attention; everything.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.network.assemble import assemble
from david_cli.network.build import Network, build
from david_cli.network.david import David, DavidConfig
from david_cli.network.weights import load_network, read_info, resolve_weights, save_network
from david_cli.synthesis.packs import replace_file
from david_cli.training import processes
from david_cli.training.batches import Source, check_levels, draw_batch, read_source
from david_cli.training.checkpoint import saved_step
from david_cli.training.recipe import Phase, Recipe
from david_cli.training.trainer import StepLog, start_run, train, train_step

SCALE = "scale.json"
"""What `scale_to_minutes` leaves in the folder of a run."""
PROBE_STEPS = 5
"""Steps timed to learn the rate of a phase, after two that warm up."""


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
    check_levels(packs, [phase.training for phase in wanted])
    folder.mkdir(parents=True, exist_ok=True)
    tell = on_event if processes.rank() == 0 else lambda event: None
    for phase in wanted:
        target = folder / f"{phase.name}.safetensors"
        if target.exists():
            _check_same(target, phase)
            tell(PhaseDone(phase, target, trained_now=False))
            continue
        source = read_source(packs, phase.training, phase.network.frames, device)
        _run_phase(recipe, phase, source, target, device, tell)
        tell(PhaseDone(phase, target, trained_now=True))


def scale_to_minutes(
    recipe: Recipe, packs: Sequence[Path], folder: Path, minutes: float, device: torch.device | str
) -> Recipe:
    """The recipe with its steps scaled so that it takes about ``minutes`` on this machine.

    The rate of every phase is measured with untrained networks on a few real batches. The factor
    is written to ``folder/scale.json`` once and for all, so that a resumed run keeps its schedule.
    """
    if not recorded_scale(folder):
        rates = {p.name: _seconds_per_step(p, packs, device) for p in recipe.phases}
        total = sum(p.training.steps * rates[p.name] for p in recipe.phases)
        folder.mkdir(parents=True, exist_ok=True)
        found = {"minutes": minutes, "factor": 60 * minutes / total, "seconds_per_step": rates}
        if processes.rank() == 0:  # all take its figures, or their steps would differ
            replace_file(folder / SCALE, (json.dumps(found, indent=1) + "\n").encode())
        processes.wait_for_all()
    return recipe.scaled(recorded_scale(folder)["factor"])


def recorded_scale(folder: Path) -> dict[str, Any]:
    """What `scale_to_minutes` has found: minutes, factor, seconds_per_step by phase; else empty.

    Raises:
        InputError: the record is damaged.
    """
    record = folder / SCALE
    if not record.exists():
        return {}
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("minutes", "factor", "seconds_per_step")}
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InputError(f"{record} is damaged ({err!r}): delete it to measure again") from err


def starting_point(phase: Phase, recipe: Recipe, folder: Path) -> Network:
    """The network that a phase starts from: new, trained before, or assembled from trained parts.

    Raises:
        InputError: what it starts from is not there, or does not fit.
        ModelError: what it starts from cannot be read.
    """
    torch.manual_seed(phase.training.seed)
    if not phase.start:
        return build(phase.network)
    sources = [load_network(_source(name, phase, recipe, folder)) for name in phase.start]
    if len(sources) == 1 and sources[0].config == phase.network:
        return sources[0]
    davids = [source for source in sources if isinstance(source, David)]
    if len(davids) < len(sources) or not isinstance(phase.network, DavidConfig):
        raise InputError(f"phase {phase.name}: only david networks can be assembled")
    try:
        return assemble(davids, phase.network)
    except ValueError as err:
        raise InputError(f"phase {phase.name}, start {', '.join(phase.start)}: {err}") from err


def _run_phase(
    recipe: Recipe,
    phase: Phase,
    source: Source,
    target: Path,
    device: torch.device | str,
    tell: Callable[[Event], None],
) -> None:
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
        device=device,
        on_log=lambda log: tell(Logged(phase, log)),
        on_checkpoint=checkpointed,
    )
    if processes.rank() == 0:
        seconds = time.monotonic() - started
        trained = _with_weights(network, average)
        save_network(trained, target, _history(recipe, phase, source, seconds))
        checkpoint.unlink()
    processes.wait_for_all()


def _with_weights(network: Network, weights: dict[str, Tensor]) -> Network:
    filled = copy.deepcopy(network)
    filled.load_state_dict(weights)
    return filled.eval()


def _history(recipe: Recipe, phase: Phase, source: Source, seconds: float) -> dict[str, Any]:
    """What the weights file records of its making, earlier phases and other starts included."""
    lineage = recipe.lineage(phase.name)
    own = {p.name for p in recipe.phases}
    others = {
        name: read_info(resolve_weights(name)).training
        for p in lineage
        for name in p.start
        if name not in own
    }
    steps = sum(p.training.steps for p in lineage)
    samples = sum(p.training.steps * p.training.batch for p in lineage)
    return {
        "recipe": recipe.name,
        "phase": phase.name,
        "row": phase.row,
        "steps": steps + sum(other.get("steps", 0) for other in others.values()),
        "samples": samples + sum(other.get("samples", 0) for other in others.values()),
        "seconds": round(seconds, 1),
        "phases": [_settings(p) for p in lineage],
        "starts": others,
        "packs": {name: _summary(record) for name, record in source.description.items()},
        "torch": torch.__version__,
    }


def _settings(phase: Phase) -> dict[str, Any]:
    return {"name": phase.name, "start": phase.start, **phase.training.identity()}


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    """A pack's settings and how many sources it has, without their list."""
    return {"settings": record.get("settings"), "sources": len(record.get("sources", ()))}


def _check_same(target: Path, phase: Phase) -> None:
    info = read_info(target)
    recorded = (info.training.get("phases") or [{}])[-1]
    wanted = json.loads(json.dumps(_settings(phase)))
    if recorded != wanted or info.config != phase.network:
        changed = [k for k in wanted if recorded.get(k) != wanted[k]] or ["network"]
        raise InputError(
            f"{target} was trained with other settings ({', '.join(changed)}): "
            "write to another folder, or delete it"
        )


def _source(name: str, phase: Phase, recipe: Recipe, folder: Path) -> Path:
    if name not in {p.name for p in recipe.phases}:
        return resolve_weights(name)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        raise InputError(f"phase {phase.name}: train phase {name} first, into {folder}")
    return path


def _seconds_per_step(phase: Phase, packs: Sequence[Path], device: torch.device | str) -> float:
    source = read_source(packs, phase.training, phase.network.frames, device)
    config = replace(phase.training, steps=PROBE_STEPS + 2)
    run = start_run(build(phase.network).to(device).train(), config)
    started = 0.0
    for step in range(config.steps):
        if step == 2:
            started = time.perf_counter()
        batch = draw_batch(source, config, step, rank=processes.rank(), world=processes.world())
        train_step(run, config, step, *(t.to(device) for t in batch))
    return (time.perf_counter() - started) / PROBE_STEPS
