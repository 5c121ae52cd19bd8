"""Recipes: TOML files that hold every phase of a training and every hyper-parameter.

[network]             settings that all phases share: kind = "david" | "david-x" |
                      "dbn", and its widths
[training]            hyper-parameters that all phases share (see TrainConfig)

[[phase]]             in order; each writes <name>.safetensors
name = "branch"       unique
row = "Single-all"    label in tables, if it is to be a row
start = ["other"]     earlier phases, shipped models or files whose weights it starts from
network = {...}       changes to [network]
steps = 3000          and any other hyper-parameter
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from david_cli.errors import InputError
from david_cli.network.build import Config
from david_cli.network.david import DavidConfig
from david_cli.network.davidx import DavidXConfig
from david_cli.network.dbn import DbnConfig
from david_cli.training.config import TrainConfig

SHIPPED = Path(__file__).resolve().parents[1] / "recipes"
HYPER_PARAMETERS = tuple(f.name for f in fields(TrainConfig))
KINDS: dict[str, type[DavidConfig] | type[DavidXConfig] | type[DbnConfig]] = {
    "david": DavidConfig,
    "david-x": DavidXConfig,
    "dbn": DbnConfig,
}


@dataclass(frozen=True)
class Phase:
    """One training run of a recipe: what to build, from what, and how to train it."""

    name: str
    network: Config
    training: TrainConfig
    start: tuple[str, ...] = ()
    """Phases before this one, shipped models, or files."""
    row: str = ""
    """Label in tables; empty for a phase that is only a step on the way."""


@dataclass(frozen=True)
class Recipe:
    """Phases in the order in which they run."""

    name: str
    phases: tuple[Phase, ...]

    def lineage(self, name: str) -> tuple[Phase, ...]:
        """A phase and all earlier ones that its weights come from, each once, in order."""
        wanted, found = {name}, []
        for phase in reversed(self.phases):
            if phase.name in wanted:
                found.append(phase)
                wanted.update(phase.start)
        return tuple(reversed(found))

    def scaled(self, factor: float) -> Recipe:
        """The same phases with their steps multiplied, at least one each."""
        return Recipe(
            self.name,
            tuple(
                replace(
                    p, training=replace(p.training, steps=max(1, round(p.training.steps * factor)))
                )
                for p in self.phases
            ),
        )


def find_recipe(name: str) -> Path:
    """The file of a shipped recipe's name, or of a path.

    Raises:
        InputError: neither.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise InputError(f"{path}: no such recipe file")
    names = sorted(p.stem for p in SHIPPED.glob("*.toml"))
    if name in names:
        return SHIPPED / f"{name}.toml"
    raise InputError(f"no recipe named {name}: choose {', '.join(names)}, or give a .toml file")


def read_recipe(path: Path) -> Recipe:
    """Parse and check a recipe.

    Raises:
        InputError: no valid TOML; a key that is unknown (the nearest valid one is named), of a
            wrong type, or impossible; a phase that starts from one not trained before it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise InputError(f"{path} cannot be read as a recipe: {err}") from err
    check_keys(content, ("network", "training", "phase"), str(path))
    if not content.get("phase"):
        raise InputError(f"{path}: a recipe needs at least one [[phase]]")
    network, training = (_table(content, key, str(path)) for key in ("network", "training"))
    check_keys(training, HYPER_PARAMETERS, f"{path}: [training]")
    phases: list[Phase] = []
    for i, entry in enumerate(content["phase"]):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: write phases as [[phase]] tables")
        where = f"{path}: phase {entry.get('name', i + 1)}"
        phases.append(_read_phase(entry, network, training, where))
    names = [phase.name for phase in phases]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path}: more than one phase is named {sorted(doubled)[0]}")
    for i, phase in enumerate(phases):
        if late := set(phase.start) & set(names[i:]):
            raise InputError(
                f"{path}: phase {phase.name} starts from {sorted(late)[0]}, which comes later"
            )
    recipe = Recipe(path.stem, tuple(phases))
    chosen = {entry["name"] for entry in content["phase"] if "seed" in entry}
    return replace(recipe, phases=tuple(_seeded(recipe, p, p.name in chosen) for p in phases))


def check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse keys that are not known, naming the nearest one that is.

    Raises:
        InputError: an unknown key.
    """
    for key in table:
        if key not in known:
            nearest = get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(known)}"
            raise InputError(f"{where}: unknown key '{key}'; {hint}")


def _seeded(recipe: Recipe, phase: Phase, chosen: bool) -> Phase:
    """Samples of its own for a phase that goes on from others; equal ones for equal beginnings."""
    before = 0 if chosen else len(recipe.lineage(phase.name)) - 1
    seed = phase.training.seed + before
    return replace(phase, training=replace(phase.training, seed=seed))


def _read_phase(
    entry: dict[str, Any], network: dict[str, Any], training: dict[str, Any], where: str
) -> Phase:
    own = ("name", "row", "start", "network")
    check_keys(entry, [*own, *HYPER_PARAMETERS], where)
    name = entry.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]*\w", name):
        raise InputError(f"{where}: 'name' must be letters, digits, '.', '_' and '-', not {name!r}")
    start = coerce(entry.get("start", []), tuple[str, ...], f"{where}: 'start'")
    hyper = {**training, **{k: v for k, v in entry.items() if k in HYPER_PARAMETERS}}
    return Phase(
        entry["name"],
        _read_network({**network, **_table(entry, "network", where)}, where),
        _fill(TrainConfig, hyper, where),
        start,
        coerce(entry.get("row", ""), str, f"{where}: 'row'"),
    )


def _read_network(settings: dict[str, Any], where: str) -> Config:
    settings = dict(settings)
    kind = settings.pop("kind", "david")
    if kind not in KINDS:
        raise InputError(f"{where}: network kind must be one of {', '.join(KINDS)}, not {kind!r}")
    known = [f.name for f in fields(KINDS[kind])]
    if kind != "david":  # what phases of david share does not concern it
        settings = {k: v for k, v in settings.items() if k in known or k not in _david_keys()}
    check_keys(settings, known, f"{where}: network")
    config: Config = _fill(KINDS[kind], settings, f"{where}: network")
    return config


def _david_keys() -> set[str]:
    return {f.name for f in fields(DavidConfig)}


def _fill(kind: type[Any], settings: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    required = [f.name for f in fields(kind) if f.default is MISSING]
    for name in required:
        if name not in settings:
            raise InputError(f"{where}: '{name}' is missing")
    values = {k: coerce(v, hints[k], f"{where}: '{k}'") for k, v in settings.items()}
    try:
        return kind(**values)
    except ValueError as err:
        raise InputError(f"{where}: {err}") from err


def coerce(value: Any, kind: Any, where: str) -> Any:
    """A TOML value as a field's type: int, float, str, bool, a Literal, or a tuple of these.

    Raises:
        InputError: it is of another type.
    """
    options = [k for k in get_args(kind) if k is not type(None)]
    if type(None) in get_args(kind):
        return coerce(value, options[0], where)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, not {value!r}")
        return tuple(coerce(v, options[0], where) for v in value)
    if options:  # a Literal
        if value not in options:
            choices = ", ".join(map(str, options))
            raise InputError(f"{where} must be one of {choices}, not {value!r}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{where} must be {kind.__name__}, not {value!r}")
    return value


def _table(content: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    table = content.get(key, {})
    if not isinstance(table, dict):
        raise InputError(f"{where}: '{key}' must be a table")
    return table
