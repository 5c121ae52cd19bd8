"""Processor time of the start, against that of the packages it cannot do without.

Run as `python -m tests.startup` or `make startup`, on a machine with nothing else to do.
"""

from __future__ import annotations

import resource
import subprocess
import sys

REPEATS = 5
COMMANDS = {
    "python": ["-c", ""],
    "import typer": ["-c", "import typer.rich_utils"],
    "david --version": ["-m", "david_cli", "--version"],
    "david --help": ["-m", "david_cli", "--help"],
    "david deblur --help": ["-m", "david_cli", "deblur", "--help"],
}


def spent() -> float:
    """Seconds of processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(arguments: list[str]) -> float:
    """The least of ``REPEATS`` runs of the interpreter with ``arguments``."""
    taken = []
    for _ in range(REPEATS):
        before = spent()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        taken.append(spent() - before)
    return min(taken)


if __name__ == "__main__":
    for name, arguments in COMMANDS.items():
        print(f"{name:20} {1000 * seconds(arguments):4.0f} ms")  # noqa: T201
