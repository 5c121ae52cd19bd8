"""What is known of results: of which source, with which settings. So that nothing is done twice.

    OUT/.david-batch/clips/holiday/clip.mp4.json

Each source has a file of its own, replaced whole, so that several runs and machines may share an
output folder. It is written before the work begins and again after it has ended; a crash between
the rename of a result and the second writing loses nothing. Until then it holds the record of the
result that it is to replace, which counts for as long as that one is there. Deleting the folder is
harmless: what it knew of is then only a file that exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from david_cli import __version__
from david_cli.errors import InputError, OutputError
from david_cli.files import replace_file
from david_cli.jobs.clips import Clip
from david_cli.jobs.fingerprint import Fingerprint, changes, fingerprint, flat
from david_cli.jobs.folder import short_name, state_folder
from david_cli.jobs.journal import Journal
from david_cli.jobs.settings import Settings

FOLDER = ".david-batch"
"""Below the output folder."""
SCHEMA = 1
_CLIPS = "clips"  # below that folder, where the lock of a batch lies, too


@dataclass(frozen=True)
class Standing:
    """What became of a clip in earlier runs."""

    state: Literal["done", "stale", "unknown"]
    """``stale``: there is a result, of another source or with other settings."""
    target: Path | None = None
    frames: int = 0
    difference: str = ""
    """What makes it stale, for a person."""


class Records:
    """The records below an output folder, for one set of settings."""

    def __init__(self, out: Path, settings: Settings) -> None:
        self.out = out
        self.settings = described(settings)

    def standing(self, clip: Clip) -> Standing:
        """Whether a clip was done before, and its result is still there."""
        facts = self._known(clip)
        if facts is None:
            return Standing("unknown")
        target = self.out / clip.folder / facts["target"]
        if not _is_ours(target, facts):
            return Standing("unknown", target)
        differences = changes(facts["settings"], self.settings)
        try:
            differences += [_difference(facts, clip)]
        except OSError:
            return Standing("unknown", target)  # the work will say why
        said = "; ".join(line for line in differences if line)
        return Standing("stale" if said else "done", target, facts.get("frames", 0), said)

    @contextmanager
    def recording(self, clip: Clip, target: Path) -> Iterator[Record]:
        """Write down what is about to be made; where it fails, be as before.

        Raises:
            InputError: the source cannot be read.
            OutputError: nothing can be written.
        """
        record = self._record(clip, target)
        before = record.path.read_bytes() if record.path.exists() else None
        record.write()
        try:
            yield record
        except BaseException:
            if before is None:
                record.path.unlink(missing_ok=True)
            else:
                replace_file(record.path, before)
            raise

    def attempted(self, clip: Clip) -> Path | None:
        """The result that was worked on last; None where there was none."""
        facts = self._read(clip)
        return None if facts is None else self.out / clip.folder / facts["target"]

    def joined(self, clip: Clip, target: Path, frames: int) -> None:
        """The segments of a clip have become its result.

        Raises:
            OutputError: this cannot be written down.
        """
        record = self._record(clip, target)
        record.finish(frames)

    def _record(self, clip: Clip, target: Path) -> Record:
        try:
            source = fingerprint(clip.source)
        except OSError as err:
            raise InputError(f"{clip.source}: cannot be read ({err.strerror or err})") from err
        facts = {
            "schema": SCHEMA,
            "david": __version__,
            "path": str(clip.source.absolute()),
            "source": asdict(source),
            "settings": self.settings,
            "target": target.name,
            "before": _stamp(target),
            "earlier": self._known(clip),
        }
        return Record(self._path(clip), target, facts)

    def _path(self, clip: Clip) -> Path:
        return self.out / FOLDER / _CLIPS / clip.folder / f"{short_name(clip.source)}.json"

    def _known(self, clip: Clip) -> dict[str, Any] | None:
        """What is known of the result that is there: of an earlier one while the last is not."""
        facts = self._read(clip)
        if facts is None or "size" in facts or facts["earlier"] is None:
            return facts
        is_untouched = _stamp(self.out / clip.folder / facts["target"]) == facts["before"]
        earlier: dict[str, Any] = facts["earlier"]
        return earlier if is_untouched else facts

    def _read(self, clip: Clip) -> dict[str, Any] | None:
        try:
            facts = json.loads(self._path(clip).read_bytes())
        except (OSError, ValueError):
            return None
        return facts if isinstance(facts, dict) and facts.get("schema") == SCHEMA else None


@dataclass(frozen=True)
class Record:
    """Of one result."""

    path: Path
    target: Path
    facts: dict[str, Any]

    def finish(self, frames: int) -> None:
        """The result has its name.

        Raises:
            OutputError: this cannot be written down.
        """
        self.facts.update(size=self.target.stat().st_size, frames=frames, earlier=None)
        self.write()

    def write(self) -> None:
        """Onto the disk.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise OutputError(f"{self.path} cannot be written: {err.strerror or err}") from err
        replace_file(self.path, json.dumps(self.facts, indent=1).encode(), durable=True)


def described(settings: Settings) -> dict[str, str]:
    """What decides about the pixels of a result, as words that can be compared.

    ``auto`` stays ``auto``: a batch begun on a GPU may go on without one.
    """
    words = {**flat(settings), **flat(settings.encode)}
    del words["encode"]
    if settings.engine == "auto":  # which records did not say before there was a choice
        del words["engine"]
    weights = Path(settings.model)
    if weights.is_file():
        words["weights"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    return words


def _difference(facts: dict[str, Any], clip: Clip) -> str:
    changed = Fingerprint(**facts["source"]).difference(fingerprint(clip.source))
    if changed and facts["path"] != str(clip.source.absolute()):
        return f"it was made of {facts['path']}"
    return f"{clip.source.name}: {changed}" if changed else ""


def _is_ours(target: Path, facts: dict[str, Any]) -> bool:
    """Whether what is there is the result, not something that was there before it."""
    now = _stamp(target)
    if now is None:
        return False
    if "size" in facts:
        return bool(now[0] == facts["size"])
    if (folder := state_folder(target)).exists():  # segments, whose join tells what it made
        joined = Journal(folder).joined
        return joined is not None and joined.file == fingerprint(target)
    return bool(now != facts["before"])


def _stamp(path: Path) -> list[int] | None:
    """Size and time of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
