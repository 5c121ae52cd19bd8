"""A real Ray on this machine alone: the same results, also when an actor is killed."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from david_cli.errors import DavidError, OutputError, UsageError
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.pipeline import deblur_video
from david_cli.jobs.actor import check_storage
from david_cli.jobs.batch import Batch, Wishes
from david_cli.jobs.clips import find_clips
from david_cli.jobs.cluster import LOCAL, LOOPBACK, RayCrew
from david_cli.jobs.records import FOLDER
from david_cli.jobs.scheduler import Outcome, Scheduler
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Died, Message
from david_cli.video.streams import EncodeOptions
from tests.jobs.runs import same_pictures
from tests.video.clips import Clip, make_clip

EXACT = EncodeOptions(codec="ffv1")
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
ours = pytest.mark.filterwarnings("ignore")  # Ray's own warnings are no errors of ours


def listening() -> set[str]:
    """Addresses on which this process and those below it can be reached."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def at_work() -> list[psutil.Process]:
    """Processes of actors that have a task in hand; Ray names them after what they do."""
    names = {child: "".join(child.cmdline()[:1]) for child in psutil.Process().children(True)}
    return [child for child, name in names.items() if name in ("ray::Actor.do", "ray::Actor.news")]


def batch(
    inputs: Path, out: Path, settings: Settings, on_news: Callable[[], None]
) -> tuple[list[Outcome], int]:
    """Outcomes, and how many died."""
    work, deaths = Batch(Wishes(out=out, settings=settings, segment=8)), 0

    def message(_worker: str, said: Message) -> None:
        nonlocal deaths
        deaths += isinstance(said, Died)
        on_news()

    crew = RayCrew(LOCAL, "cpu:2", settings, out)
    scheduler = Scheduler(crew, on_message=message, on_outcome=work.outcomes.append)
    with work.alone(), scheduler, crew:
        scheduler.add(work.take(find_clips([inputs], out))[0])
        scheduler.run()
    return work.outcomes, deaths


@ours
@pytest.mark.slow
def test_an_actor_is_killed_and_nobody_outside_could_have_seen_it(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out, straight = tmp_path / "in", tmp_path / "out", tmp_path / "straight.mkv"
    inputs.mkdir()
    long = make_clip(
        inputs / "long.mkv", Clip(width=384, height=256, times=range(120), audio="aac")
    )
    make_clip(inputs / "short.mkv", Clip(width=64, height=48, times=range(6)))
    settings = Settings(model=str(tiny_model), encode=EXACT)
    deblur_video(long, straight, load_deblurrer(tiny_model), encode=EXACT)
    reached: set[str] = set()
    killed: list[int] = []

    def kill_once() -> None:
        if not killed and (working := at_work()):
            reached.update(listening())
            process = working[0]
            killed.append(process.pid)
            process.kill()

    outcomes, deaths = batch(inputs, out, settings, kill_once)
    assert {(o.clip.name, o.state, o.frames) for o in outcomes} == {
        ("long.mkv", "done", 120),
        ("short.mkv", "done", 6),
    }
    assert (len(killed), deaths) == (1, 1)
    assert reached == {LOOPBACK}
    assert capsys.readouterr().out == ""  # JSON goes there
    assert same_pictures(straight, out / "long.sharp.mkv")
    files = {path.name for path in out.iterdir()}
    assert files == {FOLDER, "long.sharp.mkv", "short.sharp.mkv"}
    assert not [
        path for path in (out / FOLDER).rglob("*") if path.is_file() and path.suffix != ".json"
    ]


def test_a_folder_that_is_not_shared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("david_cli.jobs.actor.SEEN_WITHIN", 0.0)
    probe = tmp_path / "probe-1"
    with pytest.raises(OutputError, match="does not see this folder"):
        check_storage(probe)
    probe.write_text("somebody else's")
    with pytest.raises(OutputError, match=rf"{socket.gethostname()} does not see"):
        check_storage(probe)
    probe.write_text(probe.name)
    check_storage(probe)
    assert list(tmp_path.iterdir()) == [probe]


@pytest.mark.parametrize("devices", ["0,1", "cpu", "gpu:", "cuda:0"])
def test_devices_of_a_cluster_are_counted_not_named(devices: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gpu:N or cpu:N"):
        RayCrew(LOCAL, devices, Settings(), tmp_path)


def test_a_crew_of_which_nobody_has_a_task_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop folder in which nothing happens: Ray itself returns at once."""
    slept: list[float] = []
    monkeypatch.setattr("david_cli.jobs.cluster.time.sleep", slept.append)
    assert RayCrew("nowhere", "auto", Settings(), tmp_path).wait(0.5) == []
    assert slept == [0.5]


def test_a_ray_that_would_listen_to_all_networks_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was imported before it could be told not to."""
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    monkeypatch.setitem(sys.modules, "ray", sys)
    with pytest.raises(DavidError, match="process of its own"):
        RayCrew(LOCAL, "auto", Settings(), tmp_path)
