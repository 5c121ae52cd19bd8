"""`--help` and `--version` must be quick: of what david requires they import typer and rich alone.

How long they take is `make startup`'s to say: a busy machine may take any time.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import david_cli

RUN = """
import importlib.metadata, re, sys
from david_cli.cli.app import run
code = run(sys.argv[1:])
packages = {name.partition(".")[0] for name in sys.modules}
owners = importlib.metadata.packages_distributions()
imported = {owner for package in packages for owner in owners.get(package, [])}
required = {re.match(r"[\\w-]+", line)[0] for line in importlib.metadata.requires("david-cli")}
print(*sorted(imported & required), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["deblur", "--help"], ["frames", "-h"], ["deblur", "--tile"]],
)
def test_nothing_but_typer_and_rich_is_imported(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if arguments[-1] == "--tile" else 0)
    assert done.stderr.splitlines()[-1] in ("rich typer", "typer")


def test_version_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "david_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"david {david_cli.__version__}\n"
