"""The shipped weights: there, the very bytes that were shipped, and able to be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from david_cli.diagnosis.finding import Finding
from david_cli.errors import DavidError, ModelError
from david_cli.network.shipped import (
    CHECKSUMS,
    checksum,
    expected_checksums,
    shipped_files,
    weights_folder,
)

AGAIN = "get the file again: in a clone 'git checkout weights', else install david anew"
CODE = ModelError.exit_code


def check_weights() -> Iterator[Finding]:
    """Every file of weights that david comes with, and those that lie beside them."""
    folder = weights_folder()
    if folder is None:
        yield Finding("weights", "problem", "none are installed", AGAIN, CODE)
        return
    try:
        expected = expected_checksums(folder)
    except (OSError, ValueError) as err:
        yield Finding(CHECKSUMS, "problem", f"cannot be read: {err}", AGAIN, CODE)
        expected = {}
    for name, digest in expected.items():
        yield _check_file(folder / name, digest)
    for path in shipped_files():
        if path.name not in expected:
            what = "lies beside david's own weights and is none of them"
            yield Finding(path.stem, "note", what, "remove it if you did not put it there")


def check_loading() -> Iterator[Finding]:
    """Those that are the very bytes that were shipped, and yet cannot be loaded."""
    from david_cli.network.weights import load_network

    folder = weights_folder()
    for name, digest in expected_checksums(folder).items() if folder else ():
        path = folder / name if folder else Path(name)
        try:
            if checksum(path) == digest:
                load_network(path)
        except (DavidError, OSError) as err:
            yield Finding(path.stem, "problem", f"cannot be loaded: {err}", AGAIN, CODE)


def _check_file(path: Path, expected: str) -> Finding:
    name, facts = path.stem, {"path": str(path), "expected": expected}
    try:
        found = checksum(path)
    except OSError as err:
        return Finding(name, "problem", f"{path}: {err.strerror}", AGAIN, CODE, facts)
    facts["sha256"] = found
    if found != expected:
        what = f"{path} is damaged or changed: sha256 {found[:12]}..., not {expected[:12]}..."
        return Finding(name, "problem", what, AGAIN, CODE, facts)
    megabytes = path.stat().st_size / 1e6
    return Finding(name, "ok", f"{megabytes:.1f} MB, sha256 {found}", facts=facts)
