"""kill -9 at any moment, then the same command again: the output is what it would have been.

The victims count what they do to files, and the frames they write, and kill themselves at a given
count; see victim.py. The product knows nothing of it.
"""

from __future__ import annotations

import json
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from david_cli.cli.app import run
from david_cli.jobs.folder import state_folder
from tests.conftest import ROOT
from tests.footage import Plain, packets, plain_decode, same

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="names of open files are read from /proc"
)

_PATIENCE = 300  # seconds
RANDOM_MOMENTS = 20
NAMED = [
    "before replace 00001.json",
    "after replace 00001.json",
    "after replace joined.json",
    "after replace out.mp4",
    "before unlink joined.json",
    "before rmdir .out.mp4.david",
]


class Victims:
    """A process that has loaded everything, and forks one that runs a command for each call."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.victim"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: list[str], log: Path | None = None, fatal: int | None = None) -> int:
        """Its exit code, or the negative of the signal that killed it.

        Args:
            command: what it runs.
            log: where it writes down its moments.
            fatal: number of the one that is its last.
        """
        task = {"command": command, "log": log and str(log), "fatal": fatal}
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(task) + "\n")
        self._server.stdin.flush()
        ready, _, _ = select.select([self._server.stdout], [], [], _PATIENCE)
        assert ready, "the victim hangs"
        return int(self._server.stdout.readline())

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    victims = Victims()
    yield victims
    victims.close()


@pytest.fixture(scope="module")
def command(clip: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    target = tmp_path_factory.mktemp("kill") / "out.mp4"
    options = [
        "--model",
        str(tiny_model),
        "--device",
        "cpu",
        "--encoder-preset",
        "ultrafast",
        "--quiet",
    ]
    return ["deblur", str(clip), "-o", str(target), *options, "--segment", "4"]


@pytest.fixture(scope="module")
def moments(command: list[str], victims: Victims) -> list[str]:
    """Of a run that nobody kills."""
    target = Path(command[3])
    log = target.with_name("moments")
    assert victims.run(command, log) == 0
    target.rename(target.with_name("reference.mp4"))
    found = log.read_text().splitlines()
    log.unlink()
    return found


@pytest.fixture(scope="module")
def reference(command: list[str], moments: list[str]) -> tuple[Plain, object]:
    path = Path(command[3]).with_name("reference.mp4")
    return plain_decode(path), packets(path, "audio")


def test_the_run_is_what_these_tests_think(moments: list[str]) -> None:
    assert moments.count("frame") == moments.count("packet") == 12
    assert all(moments.count(name) == 1 for name in NAMED)
    order = [
        moments.index(f"before {what}")
        for what in (
            "replace plan.json",
            "fsync .00000.part.mp4",
            "replace 00000.json",
            "replace 00002.json",
            "fsync .joined.part.mp4",
            "replace joined.mp4",
            "replace joined.json",
            "replace out.mp4",
            "unlink plan.json",
            "unlink lock",
            "unlink joined.json",
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("name", NAMED)
def test_killed_at_a_named_moment(
    name: str,
    victims: Victims,
    command: list[str],
    moments: list[str],
    reference: tuple[Plain, object],
) -> None:
    _kill_and_resume(victims, command, moments.index(name), reference)


@pytest.mark.slow
def test_killed_at_every_moment(
    victims: Victims,
    command: list[str],
    moments: list[str],
    reference: tuple[Plain, object],
) -> None:
    """Before and after each change to a file, and at random frames and packets between."""
    named = [number for number, name in enumerate(moments) if " " in name]
    others = [number for number, name in enumerate(moments) if " " not in name]
    assert len(named) > 50
    for number in named + random.Random(1).sample(others, RANDOM_MOMENTS):
        _kill_and_resume(victims, command, number, reference)


@pytest.mark.slow
def test_killed_again_and_again(
    victims: Victims,
    command: list[str],
    moments: list[str],
    reference: tuple[Plain, object],
) -> None:
    """Each attempt gets a little further, on what those before it left."""
    rng = random.Random(2)
    for _ in range(RANDOM_MOMENTS):
        if victims.run(command, fatal=rng.randrange(len(moments) // 2)) == 0:
            break
    _resume(command, reference)


def _kill_and_resume(
    victims: Victims, command: list[str], moment: int, reference: tuple[Plain, object]
) -> None:
    assert victims.run(command, fatal=moment) == -signal.SIGKILL
    _resume(command, reference)


def _resume(command: list[str], reference: tuple[Plain, object]) -> None:
    target = Path(command[3])
    is_there = target.exists()
    was_left = state_folder(target).exists() and any(state_folder(target).iterdir())
    code = run(command)
    assert code == (4 if is_there and not was_left else 0), "only what is quite complete is refused"
    frames, sound = reference
    found = plain_decode(target)
    assert same(found.frames, frames.frames)
    assert (found.times, found.durations) == (frames.times, frames.durations)
    assert packets(target, "audio") == sound
    names = {path.name for path in target.parent.iterdir()}
    assert names == {target.name, "reference.mp4"}, "nothing else is left"
    target.unlink()
