"""Work in a process of its own, so that its memory is its own and nothing of it stays behind."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from david_cli.errors import DavidError, DeviceError

P = ParamSpec("P")
T = TypeVar("T")


def in_own_process(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a new process, and wait for what it returns.

    Args:
        work: defined at the top of a module; what it takes and returns can be pickled.
        args: handed to it.
        kwargs: likewise.

    Raises:
        DavidError: what it raised.
        DeviceError: the process was killed, as happens where memory runs out.
    """
    context = multiprocessing.get_context("spawn")  # neither CUDA nor FFmpeg survives a fork
    pipe, far_end = context.Pipe(duplex=False)
    process = context.Process(
        target=_answer, args=(far_end, work, args, kwargs), name="david bench", daemon=True
    )
    process.start()
    far_end.close()  # so that the death of the process is the end of the pipe
    try:
        result: T | Exception = pipe.recv()
    except EOFError:
        process.join()
        raise DeviceError(
            f"the measuring process ended with code {process.exitcode}: most likely memory ran out"
        ) from None
    finally:
        process.terminate()
        process.join()
        pipe.close()
    if isinstance(result, Exception):
        raise result
    return result


def _answer(
    pipe: Connection,
    work: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """What the process does."""
    warnings.simplefilter("ignore")  # what libraries warn developers of is no news to users
    try:
        pipe.send(work(*args, **kwargs))
    except KeyboardInterrupt:
        return
    except DavidError as err:
        pipe.send(err)
    except Exception as err:
        pipe.send(DavidError(f"unexpected {type(err).__name__}: {err}"))
