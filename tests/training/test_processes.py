"""Two processes on this machine, joined by gloo, take the steps that one would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from david_cli.errors import UsageError
from david_cli.network.david import David
from david_cli.synthesis.packs import Pack, Sample, open_pack, write_shard
from david_cli.training import processes
from david_cli.training.trainer import train
from tests.conftest import ROOT
from tests.network.test_david import SINGLE
from tests.training.quick import QUICK

WORKER = """
import sys
from pathlib import Path
import torch
from david_cli.network.david import David
from david_cli.synthesis.packs import read_packs
from david_cli.training import processes
from david_cli.training.trainer import train
from tests.network.test_david import SINGLE
from tests.training.quick import QUICK
torch.set_num_threads(1)
pack, checkpoint = read_packs([Path(sys.argv[1])]), Path(sys.argv[2])
with processes.joined(torch.device("cpu")) as device:
    torch.manual_seed(3)
    checkpoint = checkpoint.with_stem(f"{checkpoint.stem}-{processes.rank()}")
    logs = []
    train(David(SINGLE), pack, QUICK, checkpoint, device=device, on_log=logs.append)
    assert bool(logs) == (processes.rank() == 0)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_two(*arguments: str) -> list[subprocess.Popen[bytes]]:
    """Equal processes that find each other as those of torchrun do."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            env={**os.environ, **common, "RANK": str(n), "OMP_NUM_THREADS": "1"},
        )
        for n in range(2)
    ]


def test_two_processes_reach_the_weights_of_one(pack: Pack, tmp_path: Path) -> None:
    open_pack(tmp_path / "pack", {})
    samples = [Sample(pack.blurry[i], pack.sharp[i], 7) for i in range(len(pack))]
    write_shard(tmp_path / "pack", 0, samples)
    running = start_two("-c", WORKER, str(tmp_path / "pack"), str(tmp_path / "two.safetensors"))
    torch.manual_seed(3)
    train(David(SINGLE), pack, QUICK, tmp_path / "one.safetensors")
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
    assert {p.name for p in tmp_path.iterdir()} == {"pack", "one.safetensors", "two-0.safetensors"}
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two-0"))
    names = [name for name in one if name.startswith(("network.", "average.", "optimizer."))]
    assert len(names) > 10
    for name in names:  # equal but for the order of sums
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-6)


def test_a_process_alone_has_nobody_to_wait_for() -> None:
    with processes.joined(torch.device("cpu")) as device:
        assert (device.type, processes.rank(), processes.world()) == ("cpu", 0, 1)
        gradient = torch.ones(3)
        processes.average([gradient])
        processes.wait_for_all()
        assert gradient.tolist() == [1, 1, 1]
        assert processes.share(7) == 7


def test_a_batch_is_shared_equally_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "world", lambda: 3)
    assert processes.share(6) == 2
    with pytest.raises(UsageError, match=r"batch of 8 cannot .* 3 processes: set `batch`"):
        processes.share(8)
