"""Runs commands that kill themselves at a given moment: `python -m tests.jobs.victim`.

One JSON object a line comes in, one exit code a line goes out. This process only loads torch and
the rest, once; it starts no thread, so that its forks can run anything.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from david_cli.cli.app import run
from david_cli.inference import loading
from david_cli.jobs import resume
from david_cli.video.pieces import JoinWriter
from david_cli.video.writer import VideoWriter

_LOADED = (loading, resume)
_TOKEN = re.compile(r"[-.][0-9a-f]{8}(?=\.)")  # what makes names of unfinished files unique


class Moments:
    """Everything a run does to files, and every frame, in order; one of them may be its last."""

    def __init__(self, log: Path | None, fatal: int | None) -> None:
        self.log, self.fatal, self.count = log, fatal, 0

    def reach(self, name: str) -> None:
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{name}\n")
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("replace", "rename", "unlink", "rmdir", "fsync"):
            patch.setattr(os, name, self._around(name, getattr(os, name)))
        patch.setattr(VideoWriter, "write", self._before("frame", VideoWriter.write))
        patch.setattr(JoinWriter, "write_coded", self._before("packet", JoinWriter.write_coded))

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            what = f"{name} {_name(arguments[-1])}"
            self.reach(f"before {what}")
            result = call(*arguments, **options)
            self.reach(f"after {what}")
            return result

        return watched

    def _before(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:
            self.reach(name)
            return call(*arguments)

        return watched


def _name(what: Any) -> str:
    path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)
    return _TOKEN.sub("", Path(path).name)


def die(task: dict[str, Any]) -> None:
    """Run a command in this process, and leave it, one way or the other."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        Moments(task["log"] and Path(task["log"]), task["fatal"]).watch(patch)
        os._exit(run(task["command"]))


def main() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            die(json.loads(line))
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
