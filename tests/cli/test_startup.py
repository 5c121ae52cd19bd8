"""`--help` and `--version` must be quick: they import neither torch nor av."""

from __future__ import annotations

import subprocess
import sys

import pytest

import david_cli

HEAVY = ("torch", "av", "numpy", "PIL", "safetensors", "tifffile", "psutil")
RUN = """
import sys
from david_cli.cli.app import run
code = run(sys.argv[1:])
print(*sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["deblur", "--help"], ["frames", "-h"], ["deblur", "--tile"]],
)
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    script = RUN.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if arguments[-1] == "--tile" else 0)
    assert done.stderr.splitlines()[-1] == ""


def test_version_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "david_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"david {david_cli.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="counts processor time with getrusage")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_take_less_than_300_ms(option: str) -> None:
    """Processor time, so that a busy machine does not fail the test."""
    import resource

    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    spent = []
    for _ in range(3):
        before = seconds()
        subprocess.run([sys.executable, "-m", "david_cli", option], capture_output=True, check=True)
        spent.append(seconds() - before)
    assert min(spent) < 0.3
