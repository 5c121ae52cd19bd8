"""Everything a user can cause, as one small tree; each error carries its exit code.

    DavidError          1   any other failure
    ├── UsageError      2   an option that cannot be
    ├── InputError      3   the source: missing, damaged, no picture in it
    ├── OutputError     4   the target: encoder, container, disk, an existing file
    ├── ModelError      5   weights: unknown, damaged, foreign
    ├── DeviceError     6   device or memory
    └── PipeClosed    141   nobody reads standard output any more; says nothing

A message is one line: what failed, on which file, and what to do about it.
"""

from __future__ import annotations


class DavidError(Exception):
    """A failure with a message meant for a person."""

    exit_code = 1


class UsageError(DavidError):
    """An option or a combination of options that cannot be."""

    exit_code = 2


class InputError(DavidError):
    """The source is missing, damaged, or holds nothing to work on."""

    exit_code = 3


class OutputError(DavidError):
    """The target cannot be encoded or written."""

    exit_code = 4


class ModelError(DavidError):
    """Weights are unknown, damaged, or made for another network."""

    exit_code = 5


class DeviceError(DavidError):
    """The device is absent, or its memory does not suffice."""

    exit_code = 6


class PipeClosed(DavidError):
    """The program that reads standard output has ended; no news to anybody, so no message."""

    exit_code = 141  # 128 + SIGPIPE, as a shell reports it of other programs


class Interrupted(BaseException):
    """Somebody stopped a run whose finished part is kept; the message says how much that is.

    No KeyboardInterrupt, which Typer would turn into an exit without a word.
    """
