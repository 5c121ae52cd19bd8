"""What a batch takes on, and when it comes again."""

from __future__ import annotations

from pathlib import Path

import pytest

from david_cli.errors import OutputError, UsageError
from david_cli.jobs.batch import Batch, Wishes
from david_cli.jobs.clips import Clip, find_clips
from david_cli.jobs.lock import locked
from david_cli.jobs.records import FOLDER, Records
from david_cli.jobs.scheduler import Outcome
from david_cli.jobs.settings import Settings
from tests.video.clips import Clip as Shot
from tests.video.clips import make_clip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "a.mp4", Shot())


def test_a_source_that_changed_is_no_clash_with_itself(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    batch = Batch(Wishes(out=out))
    ((order,), settled) = batch.take(find_clips([source], out))
    assert not settled
    target = out / "a.sharp.mp4"
    target.parent.mkdir()
    with Records(out, Settings()).recording(order.clip, target) as record:
        target.write_bytes(b"result")
        record.finish(10)
    source.write_bytes(source.read_bytes() + b"more")
    orders, (failed,) = batch.take(find_clips([source], out), refuse=False)
    assert not orders
    assert isinstance(failed.error, OutputError)
    assert "a.mp4: it had" in str(failed.error)
    assert batch.report()["left"] == 0


def test_a_late_clip_that_clashes_fails_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Clip(make_clip(tmp_path / "other" / "a.mp4", Shot()))
    batch = Batch(Wishes(out=tmp_path / "out"))
    batch.take([Clip(source)])
    orders, (failed,) = batch.take([other], refuse=False)
    assert not orders
    assert isinstance(failed.error, UsageError)
    with pytest.raises(UsageError, match="would both become"):
        batch.take([other])


def test_what_is_in_hand_is_what_has_no_outcome_yet(source: Path, tmp_path: Path) -> None:
    batch = Batch(Wishes(out=tmp_path / "out"))
    assert batch.in_hand == set()
    (order,), _ = batch.take(find_clips([source], tmp_path / "out"))
    assert batch.in_hand == {order.clip.source}
    batch.outcomes.append(Outcome(clip=order.clip, state="failed"))
    assert batch.in_hand == set()


def test_one_batch_at_a_time(tmp_path: Path) -> None:
    batch = Batch(Wishes(out=tmp_path / "new" / "out"))
    with batch.alone():
        assert (tmp_path / "new" / "out" / FOLDER / "lock").exists()
    assert not (tmp_path / "new" / "out" / FOLDER / "lock").exists()
    with (
        locked(tmp_path / "new" / "out" / FOLDER),
        pytest.raises(OutputError, match="working on this output"),
        batch.alone(),
    ):
        pass


def test_an_output_folder_that_is_a_file(source: Path) -> None:
    with pytest.raises(OutputError, match="cannot be a folder"), Batch(Wishes(out=source)).alone():
        pass
