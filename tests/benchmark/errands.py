"""What another process is sent to do; imports little, so that it is soon there."""

from __future__ import annotations

import os

from david_cli.errors import InputError


def answer(value: int) -> int:
    return value + 1


def fail() -> None:
    raise InputError("no such file")


def stumble() -> None:
    raise KeyError("lost")


def die() -> None:
    os._exit(9)
