"""Which libraries are needed, in which versions, and what is said where they are not there."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest

from david_cli.diagnosis import libraries
from david_cli.diagnosis.libraries import (
    Requirement,
    check_extras,
    check_libraries,
    requirements,
)
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("version", "is_allowed"),
    [("18.1.0", True), ("18.1", True), ("18.0.9", False), ("19.0", False), ("18.10+local", True)],
)
def test_versions_are_compared_as_numbers(version: str, is_allowed: bool) -> None:
    assert Requirement.parse("av>=18.1,<19").allows(version) == is_allowed
    assert Requirement.parse("av").allows(version)


def test_both_forms_of_a_requirement_are_read() -> None:
    project = Requirement.parse("Ray[default] >= 2.50, <3", "ray")
    wheel = Requirement.parse("ray[default]<3,>=2.50; extra == 'ray'")
    assert project == wheel == Requirement("ray", ">=2.50,<3", "ray")


def test_the_requirements_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {r.name for r in requirements() if not r.extra}
    assert {"torch", "av"} <= needed and len(needed) == len(project["dependencies"])
    extras = {r.extra for r in requirements()} - {""}
    assert extras == set(project["optional-dependencies"])
    monkeypatch.setattr(libraries, "_PROJECT", ROOT / "absent")
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch>=2.6", "x; extra == 'y'"])
    assert requirements() == [Requirement("torch", ">=2.6"), Requirement("x", "", "y")]


def test_an_old_torch_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "installed_version", lambda name: "2.5.1+cu124")
    torch = next(f for f in check_libraries() if f.name == "torch")
    assert (torch.status, torch.exit_code) == ("problem", 1)
    assert torch.what == "2.5.1+cu124, but david needs >=2.6"
    assert "pip install --upgrade 'torch>=2.6'" in torch.advice and "pytorch.org" in torch.advice


def test_what_is_absent_or_broken_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        if name == "av":
            raise OSError("libavcodec.so.62:\n cannot open")

    known = libraries.installed_version
    monkeypatch.setattr(
        libraries, "installed_version", lambda name: None if name == "torch" else known(name)
    )
    monkeypatch.setattr(libraries, "import_module", load)
    found = {f.name: f for f in check_libraries()}
    assert found["torch"].what == "not installed"
    assert found["av"].what.endswith("does not load: OSError: libavcodec.so.62: cannot open")
    assert "--force-reinstall" in found["av"].advice
    assert found["numpy"].status == "ok"


def test_an_absent_extra_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "installed_version", lambda name: None)
    found = {f.name: f for f in check_extras()}
    assert {f.status for f in found.values()} == {"note"} and "dev" not in found
    assert "pip install 'david-cli[exr]'" in found["exr"].advice
    monkeypatch.setattr(libraries, "installed_version", lambda name: "0.1")
    assert {f.status for f in check_extras()} == {"warning"}
