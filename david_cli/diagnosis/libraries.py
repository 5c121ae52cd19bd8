"""The libraries that david needs or can use: there, new enough, and able to load.

Which ones is read from the package's own metadata, in a source tree from ``pyproject.toml``.
"""

from __future__ import annotations

import operator
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from david_cli.diagnosis.finding import Finding

DISTRIBUTION = "david-cli"
MOST_SAID = 120
"""Letters of an error that are repeated."""
_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
_MODULES = {"pillow": "PIL"}  # where they have another name
_FIRST = ("torch", "av")  # without these nothing works
_FOR_DEVELOPERS = "dev"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[^\]]*\])?\s*(?P<bounds>[^;]*)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w.-]+)['\"]")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([\w.]+)")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Requirement:
    """A library and the versions of it that will do."""

    name: str
    bounds: str
    """E.g. ``>=18.1,<19``; empty where any will do."""
    extra: str = ""
    """What it is installed with; empty where david always needs it."""

    @classmethod
    def parse(cls, line: str, extra: str = "") -> Requirement:
        """Read ``av<19,>=18.1`` or ``ray>=2.50; extra == 'ray'``."""
        match = _REQUIREMENT.match(line)
        assert match is not None, line
        found = _EXTRA.search(line)
        bounds = ",".join(sorted(match["bounds"].replace(" ", "").split(","), reverse=True))
        return cls(match["name"].lower(), bounds, found[1] if found else extra)

    def allows(self, version: str) -> bool:
        """Whether a version will do; what follows its numbers (``+cpu``, ``rc1``) is ignored."""
        return all(
            _COMPARE[sign](_numbers(version), _numbers(bound))
            for sign, bound in _BOUND.findall(self.bounds)
        )


def check_libraries() -> Iterator[Finding]:
    """Every library that david cannot do without, PyTorch and PyAV first."""
    needed = [r for r in requirements() if not r.extra]
    for requirement in sorted(needed, key=lambda r: (r.name not in _FIRST, r.name)):
        yield _check_library(requirement)


def check_extras() -> Iterator[Finding]:
    """Every extra of the package: what of it is there. Not loaded, as Ray alone takes seconds."""
    wanted = [r for r in requirements() if r.extra not in ("", _FOR_DEVELOPERS)]
    for extra in sorted({r.extra for r in wanted}):
        yield _check_extra(extra, [r for r in wanted if r.extra == extra])


def requirements() -> list[Requirement]:
    """What the package asks for; of an editable install, what its source tree asks for now."""
    if _PROJECT.is_file():
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
        if project["name"] == DISTRIBUTION:
            extras = project.get("optional-dependencies", {})
            return [Requirement.parse(line) for line in project["dependencies"]] + [
                Requirement.parse(line, extra) for extra, lines in extras.items() for line in lines
            ]
    return [Requirement.parse(line) for line in metadata.requires(DISTRIBUTION) or ()]


def installed_version(name: str) -> str | None:
    """The version of a library that is installed; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_library(requirement: Requirement) -> Finding:
    name, bounds = requirement.name, requirement.bounds
    version = installed_version(name)
    said = _import_error(name)
    facts = {"version": version, "needs": bounds, "error": said}
    if version is None:
        return Finding(name, "problem", "not installed", _install(requirement), 1, facts)
    if not requirement.allows(version):
        what = f"{version}, but david needs {bounds}" + (f"; it says {said}" if said else "")
        return Finding(name, "problem", what, _install(requirement), 1, facts)
    if said:
        what = f"{version} is installed and does not load: {said}"
        advice = f"install it anew: pip install --force-reinstall '{name}{bounds}'"
        return Finding(name, "problem", what, advice, 1, facts)
    return Finding(name, "ok", f"{version} (needs {bounds})", facts=facts)


def _check_extra(extra: str, needed: list[Requirement]) -> Finding:
    found = {r.name: installed_version(r.name) for r in needed}
    command = f"pip install '{DISTRIBUTION}[{extra}]'"
    facts = {"libraries": found}
    if missing := [name for name, version in found.items() if version is None]:
        return Finding(
            extra,
            "note",
            f"{', '.join(missing)} not installed",
            f"if you want it: {command}",
            0,
            facts,
        )
    there = ", ".join(f"{name} {version}" for name, version in found.items())
    if old := [r for r in needed if not r.allows(found[r.name] or "")]:
        bounds = ", ".join(f"{r.name}{r.bounds}" for r in old)
        return Finding(extra, "warning", f"{there}, but david needs {bounds}", command, 0, facts)
    return Finding(extra, "ok", there, facts=facts)


def _install(requirement: Requirement) -> str:
    command = f"pip install --upgrade '{requirement.name}{requirement.bounds}'"
    if requirement.name != "torch":
        return f"{command}, in the environment that runs david"
    return (
        f"{command}, in the environment that runs david; without an NVIDIA GPU rather with the "
        "command that https://pytorch.org/get-started gives for Pip and CPU"
    )


def _import_error(name: str) -> str:
    """What a library says when it cannot be loaded; empty where it can."""
    try:
        import_module(_MODULES.get(name, name))
    except Exception as err:  # a broken library may raise anything
        return in_one_line(err)
    return ""


def in_one_line(error: Exception) -> str:
    """An error's kind and the beginning of what it says."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:MOST_SAID]}" + ("..." if len(said) > MOST_SAID else "")


def _numbers(version: str) -> tuple[int, ...]:
    """``2.13.0+cpu`` -> (2, 13); zeros at the end do not matter."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in match[0].split(".")] if match else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
