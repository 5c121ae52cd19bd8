"""Muon: kernels move by orthogonal matrices, everything else as Adam has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from david_cli.network.build import build
from david_cli.network.david import David
from david_cli.network.dbn import DbnConfig
from david_cli.synthesis.packs import Pack
from david_cli.training.muon import Muon, is_hidden_kernel, orthogonal
from david_cli.training.trainer import StepLog, train
from tests.network.test_david import SINGLE, TINY
from tests.training.quick import QUICK

BETAS = (0.9, 0.99)


@pytest.mark.parametrize("shape", [(3, 4, 36), (2, 40, 8), (1, 16, 16)])
def test_singular_values_come_close_to_one_whatever_the_scale(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for scale in (1e-6, 1.0, 1e3):
        values = torch.linalg.svdvals(orthogonal(matrices * scale))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_singular_vectors_stay() -> None:
    matrix = torch.randn(1, 6, 20, generator=torch.Generator().manual_seed(2))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.mT @ orthogonal(matrix) @ v.mT
    assert torch.allclose(turned, torch.diag_embed(turned.diagonal(dim1=1, dim2=2)), atol=1e-4)


def test_kernels_of_one_shape_do_not_meddle_with_each_other() -> None:
    matrices = torch.randn(3, 5, 18, generator=torch.Generator().manual_seed(3))
    one_by_one = torch.cat([orthogonal(matrix[None]) for matrix in matrices])
    assert torch.allclose(orthogonal(matrices), one_by_one, atol=1e-6)


@pytest.mark.parametrize("config", [TINY, DbnConfig(width=4)])
def test_what_gives_pictures_and_maps_is_left_to_adam(config: object) -> None:
    network = build(config)  # type: ignore[arg-type]
    hidden = {name for name, p in network.named_parameters() if is_hidden_kernel(name, p)}
    started_at_zero = {
        name for name, p in network.named_parameters() if p.ndim == 4 and not p.any()
    }
    assert hidden
    assert started_at_zero
    assert not hidden & started_at_zero
    assert not any(name.endswith("bias") for name in hidden)


def test_a_step_is_as_long_as_one_of_adam() -> None:
    kernel = nn.Parameter(torch.zeros(8, 4, 3, 3))
    optimizer = Muon({"enter.weight": kernel}, 0.01, BETAS)
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(4))
    optimizer.step()
    size = kernel.detach().square().mean().sqrt()
    assert 0.5 * 0.2 * 0.01 < size < 2 * 0.2 * 0.01


def test_everything_else_moves_as_adam_moves_it() -> None:
    torch.manual_seed(5)
    bias, twin = (nn.Parameter(torch.ones(7)) for _ in range(2))
    ours = Muon({"enter.bias": bias}, 0.01, BETAS, 0.1)
    theirs = torch.optim.AdamW([twin], 0.01, BETAS, weight_decay=0.1)
    for _ in range(3):
        bias.grad = torch.randn(7)
        twin.grad = bias.grad.clone()
        ours.step()
        theirs.step()
    assert torch.equal(bias, twin)


def test_kernels_decay_apart_from_their_gradient() -> None:
    kernel = nn.Parameter(torch.ones(4, 4, 3, 3))
    optimizer = Muon({"enter.weight": kernel}, 0.5, BETAS, weight_decay=0.1)
    kernel.grad = torch.zeros_like(kernel)
    optimizer.step()
    assert torch.allclose(kernel, torch.full_like(kernel, 0.95))


def test_it_learns(pack: Pack, tmp_path: Path) -> None:
    config = replace(QUICK, optimizer="muon", steps=60, warmup=5, lr=3e-3, log_every=20)
    logs: list[StepLog] = []
    torch.manual_seed(3)
    train(David(SINGLE), pack, config, tmp_path / "c.safetensors", on_log=logs.append)
    assert logs[-1].gain > 0.1
    assert logs[-1].loss < logs[0].loss
