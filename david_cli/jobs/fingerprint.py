"""What tells one source, one network and one program from another, and the difference in words."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from david_cli import __version__
from david_cli.inference.deblurrer import Deblurrer

_END = 1 << 20  # bytes at the head and at the tail of a file that are hashed


@dataclass(frozen=True)
class Fingerprint:
    """Of a file; films are too large to be read for it."""

    size: int
    """Bytes."""
    mtime_ns: int
    """When it was last written to."""
    ends: str
    """sha256 of its first and its last mebibyte."""

    def difference(self, now: Fingerprint) -> str:
        """What changed, for a person; empty where nothing did."""
        if self.size != now.size:
            return f"it had {self.size} bytes and has {now.size}"
        if self.ends != now.ends:
            return "its content is another"
        return "it was written to since" if self.mtime_ns != now.mtime_ns else ""


def fingerprint(path: Path) -> Fingerprint:
    """Look at a file.

    Raises:
        OSError: it cannot be read.
    """
    found = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_END))
        file.seek(max(_END, found.st_size - _END))
        digest.update(file.read(_END))
    return Fingerprint(found.st_size, found.st_mtime_ns, digest.hexdigest())


def weights_digest(deblurrer: Deblurrer) -> str:
    """sha256 of the network's values and their names."""
    network = deblurrer.network
    assert isinstance(network, torch.nn.Module)
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def only_blurry(deblurrer: Deblurrer) -> str:
    """Which frames the network is for, in words: all, or those less sharp than a number."""
    limit = deblurrer.sharp_above
    return "off" if limit is None else f"up to {limit:g}"


def engine_version(deblurrer: Deblurrer) -> str:
    """What computes the network, with its version where that is not among `versions`."""
    name = deblurrer.engine
    return name if name == "torch" else f"{name} {version(name)}"


def versions() -> dict[str, str]:
    """Of what decides the values of pixels."""
    return {
        "david": __version__,
        "torch": torch.__version__,
        "av": version("av"),
        "processor": platform.machine(),
    }


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Settings that differ, for a person: ``strength was 1 and is 0.5``."""
    names = dict.fromkeys((*before, *now))
    return [
        f"{name} was {before.get(name, 'not given')} and is {now.get(name, 'not given')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def flat(settings: object) -> dict[str, str]:
    """A dataclass of options as words, without those that were not given."""
    given = asdict(settings)  # type: ignore[call-overload]
    kept = {name: value for name, value in given.items() if value not in (None, {})}
    return {name: str(value) for name, value in kept.items() if value is not False}
