"""A checkup says what is wrong and what to do, and never falls over itself."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from david_cli.diagnosis import machine
from david_cli.diagnosis.checkup import CHECKS, examine
from david_cli.diagnosis.encoders import check_encoders, check_ffmpeg
from david_cli.diagnosis.finding import Finding, worst
from david_cli.diagnosis.models import check_loading, check_weights
from david_cli.diagnosis.privacy import anonymous
from david_cli.errors import ModelError
from david_cli.network import shipped
from david_cli.video import probe
from tests.conftest import ROOT

WEIGHTS = ROOT / "weights"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped weights, which may be damaged."""
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS, folder)
    monkeypatch.setattr(shipped, "_FOLDERS", (folder,))
    return folder


def named(findings: Iterator[Finding], name: str) -> Finding:
    (found,) = (finding for finding in findings if finding.name == name)
    return found


def broken() -> Iterator[Finding]:
    yield Finding("first", "ok", "seen")
    raise RuntimeError("a driver\nof the worst kind")


def test_whatever_a_check_runs_into_the_next_one_runs() -> None:
    def model() -> Iterator[Finding]:
        raise ModelError("no weights")
        yield  # a generator

    found = list(examine({"a": (broken, model), "b": (broken,)}))
    assert [(f.topic, f.status, f.exit_code) for f in found] == [
        ("a", "ok", 0),
        ("a", "problem", 1),
        ("a", "problem", 5),
        ("b", "ok", 0),
        ("b", "problem", 1),
    ]
    assert found[1].what == "the check itself failed: RuntimeError: a driver of the worst kind"
    assert all(f.advice for f in found if f.status == "problem")


def test_what_follows_from_a_broken_library_is_said_so() -> None:
    def library() -> Iterator[Finding]:
        yield Finding("torch", "problem", "2.5", "update", 1, {"error": "OSError: libfoo.so"})

    found = list(examine({"libraries": (library,), "b": (broken,)}))
    assert found[-1].what == "not looked at, as torch does not load"
    assert found[-1].advice == "first mend the libraries above"


def test_the_first_problem_is_the_worst_and_warnings_are_none() -> None:
    fine, warned = Finding("a", "ok", ""), Finding("b", "warning", "")
    assert worst([fine, warned]) == 0
    assert (
        worst([warned, Finding("c", "problem", "", "", 5), Finding("d", "problem", "", "", 4)]) == 5
    )


def test_every_finding_that_is_not_ok_comes_with_advice() -> None:
    checks = {topic: group for topic, group in CHECKS.items() if topic != "self-test"}
    found = list(examine(checks))
    assert {f.topic for f in found} == set(checks)
    assert [f.name for f in found if f.status != "ok" and not f.advice] == []


def test_weights_as_shipped_are_well() -> None:
    found = list(check_weights())
    assert {(f.name, f.status) for f in found} == {("david", "ok"), ("david-lite", "ok")}


def test_the_list_of_checksums_is_that_of_the_model_card() -> None:
    listed = (WEIGHTS / shipped.CHECKSUMS).read_text().split()
    card = re.findall(r"^([0-9a-f]{64})  (\S+)$", (WEIGHTS / "README.md").read_text(), re.M)
    assert sorted(listed) == sorted(word for row in card for word in row)


def test_a_damaged_byte_is_found(copied: Path) -> None:
    path = copied / "david-lite.safetensors"
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    lite = named(check_weights(), "david-lite")
    assert (lite.status, lite.exit_code) == ("problem", 5)
    assert "damaged" in lite.what and "git checkout weights" in lite.advice
    assert named(check_weights(), "david").status == "ok"


def test_missing_and_foreign_weights_are_found(copied: Path) -> None:
    empty = {"format": "other"}
    save_file({}, copied / "david-lite.safetensors", empty)
    digest = shipped.checksum(copied / "david-lite.safetensors")
    (copied / shipped.CHECKSUMS).write_text(f"{digest}  david-lite.safetensors\n")
    (unloadable,) = check_loading()
    assert unloadable.name == "david-lite" and "no david network" in unloadable.what
    shutil.copy(WEIGHTS / shipped.CHECKSUMS, copied)
    (copied / "david.safetensors").rename(copied / "mine.safetensors")
    found = {f.name: f for f in check_weights()}
    assert (found["david"].status, found["mine"].status) == ("problem", "note")
    (copied / shipped.CHECKSUMS).write_text("nonsense\n")
    assert named(check_weights(), shipped.CHECKSUMS).exit_code == 5
    shutil.rmtree(copied)
    assert named(check_weights(), "weights").exit_code == 5


def test_an_encoder_that_does_not_open_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    real = probe.probe_encoder
    missing = probe.Probe(False, "not in this build of FFmpeg")
    monkeypatch.setattr(
        probe, "probe_encoder", lambda name: missing if "x264" in name else real(name)
    )
    found = {f.name: f for f in check_encoders()}
    assert (found["libx264"].status, found["libx264"].exit_code) == ("problem", 4)
    assert "--codec hevc" in found["libx264"].advice
    assert found["libx264rgb"].status == "warning"
    assert found["libx265"].status == "ok"


def test_hardware_that_works_is_told_from_hardware_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def works(name: str) -> probe.Probe:
        return probe.Probe("nvenc" in name or "_" not in name, "no driver")

    monkeypatch.setattr(probe, "probe_encoder", works)
    hardware = named(check_encoders(), "hardware")
    assert hardware.status == "ok" and "--encoder auto" in hardware.advice
    assert hardware.what.startswith("h264_nvenc, hevc_nvenc, av1_nvenc; not h264_qsv")


def test_ffmpeg_is_named_with_its_licence() -> None:
    found = {f.name: f.what for f in check_ffmpeg()}
    assert re.match(r"\d+\.\d+.* \(libavcodec \d+", found["ffmpeg"])
    assert "GPL-2.0-or-later" in found["licence"]
    assert found["x264"].startswith("core ") and re.match(r"\d+\.\d+", found["x265"])


@pytest.mark.parametrize(
    ("driver", "built_for", "status", "word"),
    [
        ("", None, "note", "nothing to mend"),
        ("550.1", None, "warning", "pytorch.org"),
        ("470.1", "12.8", "warning", "update the driver"),
    ],
)
def test_why_there_is_no_gpu(driver: str, built_for: str, status: str, word: str) -> None:
    found = machine._no_gpu(driver, built_for, "The NVIDIA driver on your system is too old.")
    assert found.status == status and word in found.advice


def test_a_full_disk_and_a_read_only_folder_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LEAST_DISK", 1e9)
    assert "free some space" in machine._check_folder("here", tmp_path).advice

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    assert "Permission denied" in machine._check_folder("here", tmp_path).what


def test_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane.doe")
    monkeypatch.setenv("USERPROFILE", "/home/jane.doe")
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "jane.doe")
    given = {
        "a": ["/home/jane.doe/clips", "/home/jane.doe"],
        "b": ("/media/jane.doe/disk", 3, None),
    }
    expected = {"a": ["~/clips", "~"], "b": ["/media/<user>/disk", 3, None]}
    assert anonymous(given) == expected
    assert anonymous("/home/jane.doery /opt/jane.doery") == "/home/jane.doery /opt/jane.doery"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that works")
def test_a_gpu_that_does_not_compute_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**31))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU of a test")
    monkeypatch.setattr(machine, "nvidia_driver", lambda: "570.1")
    gpu = named(iter(machine.check_devices()), "cuda:0")
    assert (gpu.status, gpu.exit_code) == ("problem", 6)
    assert "--device cpu" in gpu.advice


@pytest.mark.needs_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_named_with_its_driver() -> None:
    gpu = named(machine.check_devices(), "cuda:0")
    assert gpu.status == "ok" and f"driver {machine.nvidia_driver()}" in gpu.what
