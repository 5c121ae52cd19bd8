"""What `--devices` takes."""

from __future__ import annotations

import pytest

from david_cli.errors import UsageError
from david_cli.jobs.devices import parse_devices, present, threads_each
from david_cli.processor import usable_cores


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", ("auto",)),
        ("0,1", ("cuda:0", "cuda:1")),
        ("cuda:1", ("cuda:1",)),
        ("0,0", ("cuda:0", "cuda:0")),
        ("cpu", ("cpu",)),
        ("cpu:2", ("cpu", "cpu")),
        ("cuda:0:2, 1", ("cuda:0", "cuda:0", "cuda:1")),
        ("mps", ("mps",)),
    ],
)
def test_what_can_be_asked_for(text: str, devices: tuple[str, ...]) -> None:
    assert parse_devices(text) == devices


@pytest.mark.parametrize(
    "text", ["", "gpu", "cpu:0", "cpu:-1", "cpu:999", "0;1", "0,", "0,cpu:1", "auto,0", "cuda", "٣"]
)
def test_what_cannot(text: str) -> None:
    with pytest.raises(UsageError, match="--devices"):
        parse_devices(text)


def test_auto_is_what_there_is() -> None:
    devices = present(("auto",))
    assert devices in (("cpu",), ("mps",)) or all(name.startswith("cuda:") for name in devices)
    assert present(("cpu", "cpu")) == ("cpu", "cpu")


@pytest.mark.parametrize("processes", [1, 2, 3, 100])
def test_threads_are_shared(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads = threads_each(processes)
    assert threads >= 1
    assert threads * processes <= max(usable_cores(), processes)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads_each(processes) == 5
