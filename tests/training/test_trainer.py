"""The trainer: it learns, it resumes to the bit, it freezes what it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from david_cli.errors import DavidError, InputError
from david_cli.network.david import David
from david_cli.synthesis.dataset import Pack
from david_cli.training.config import Part, TrainConfig
from david_cli.training.losses import level_loss, loss_of
from david_cli.training.trainer import StepLog, draw_batch, learning_rate, select, train
from tests.network.test_david import SINGLE, TINY

QUICK = TrainConfig(steps=6, batch=4, crop=16, warmup=2, lr=1e-3, log_every=1)


@pytest.fixture(scope="module")
def pack() -> Pack:
    """Textures, blurred by a box: something that can be learnt."""
    g = torch.Generator().manual_seed(0)
    sharp = F.interpolate(torch.rand(8, 3, 12, 12, generator=g), (24, 24), mode="bicubic")
    sharp = sharp.clamp(0, 1)
    blurry = F.avg_pool2d(sharp, 3, 1, 1, count_include_pad=False)
    window = blurry[:, None].expand(-1, 7, -1, -1, -1)
    codes = ((255 * t).round().to(torch.uint8) for t in (window, sharp))
    return Pack(*codes, torch.full((8,), 7, dtype=torch.uint8), {})


def fresh() -> David:
    torch.manual_seed(3)
    return David(SINGLE)


def test_training_lowers_the_error(pack: Pack, tmp_path: Path) -> None:
    logs: list[StepLog] = []
    config = replace(QUICK, steps=150, lr=3e-3, warmup=10, log_every=50)
    train(fresh(), pack, config, tmp_path / "c.safetensors", on_log=logs.append)
    assert logs[-1].gain > 0.5
    assert logs[-1].loss < logs[0].loss


def test_a_resumed_run_equals_a_straight_one_to_the_bit(pack: Pack, tmp_path: Path) -> None:
    straight = train(fresh(), pack, QUICK, tmp_path / "straight.safetensors")

    class Stop(Exception):
        pass

    def interrupt(step: int, average: dict[str, Tensor]) -> None:
        if step == 3:
            raise Stop

    checkpoint = tmp_path / "stopped.safetensors"
    every_step = replace(QUICK, checkpoint_minutes=0)
    with pytest.raises(Stop):
        train(fresh(), pack, every_step, checkpoint, on_checkpoint=interrupt)
    torch.manual_seed(99)
    resumed = train(David(SINGLE), pack, every_step, checkpoint)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_a_checkpoint_of_another_configuration_is_refused(pack: Pack, tmp_path: Path) -> None:
    train(fresh(), pack, QUICK, tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="another configuration"):
        train(fresh(), pack, replace(QUICK, lr=2e-3), tmp_path / "c.safetensors")


def test_a_loss_that_breaks_down_stops_the_run(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(DavidError, match="lower the learning rate"):
        train(fresh(), pack, replace(QUICK, lr=1e30, warmup=0), tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("part", "names"),
    [("all", "unet"), ("attention", "attention|external"), ("external", "external")],
)
def test_only_the_chosen_part_moves(part: Part, names: str, pack: Pack, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = David(TINY)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    train(network, pack, replace(QUICK, part=part), tmp_path / "c.safetensors")
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(any(name in key for name in names.split("|")) for key in moved)


def test_a_single_branch_has_no_attention_to_train() -> None:
    with pytest.raises(DavidError, match="no attention part"):
        select(fresh(), "attention")


def test_a_batch_depends_on_seed_and_step_alone(pack: Pack) -> None:
    first, again = draw_batch(pack, QUICK, 5), draw_batch(pack, QUICK, 5)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], draw_batch(pack, QUICK, 6)[0])
    assert first[0].shape == (4, 7, 3, 16, 16)


def test_augmentation_turns_window_and_truth_alike() -> None:
    g = torch.Generator().manual_seed(0)
    sharp = torch.randint(256, (1, 3, 24, 24), generator=g, dtype=torch.uint8)
    pack = Pack(sharp[:, None].expand(-1, 7, -1, -1, -1), sharp, torch.tensor([7]), {})
    for step in range(8):
        blurry, truth, _ = draw_batch(pack, QUICK, step)
        assert torch.equal(blurry[:, 3], truth)


def test_crops_larger_than_the_samples_are_refused(pack: Pack) -> None:
    with pytest.raises(InputError, match="do not fit"):
        draw_batch(pack, replace(QUICK, crop=64), 0)


def test_the_learning_rate_warms_up_and_follows_one_cosine() -> None:
    config = TrainConfig(steps=1000, lr=1e-3, final_lr=1e-6, warmup=100)
    assert learning_rate(config, 0) == pytest.approx(1e-5)
    assert learning_rate(config, 100) == pytest.approx(1e-3)
    assert learning_rate(config, 550) == pytest.approx((1e-3 + 1e-6) / 2)
    assert learning_rate(config, 999) == pytest.approx(1e-6, rel=0.1)


def test_external_attention_learns_the_level(pack: Pack, tmp_path: Path) -> None:
    """Blurred and sharp windows of two levels are told apart, and no branch moves."""
    sharp = pack.sharp[:, None].expand(-1, 7, -1, -1, -1)
    both = Pack(
        torch.cat((pack.blurry, sharp)),
        torch.cat((pack.sharp, pack.sharp)),
        torch.tensor([11] * 8 + [3] * 8, dtype=torch.uint8),
        {},
    )
    torch.manual_seed(3)
    network = David(replace(TINY, branches=(7,)))
    before = network.levels()[0].state_dict()["branches.0.unet.tail.weight"].clone()
    logs: list[StepLog] = []
    config = replace(QUICK, steps=240, part="external", loss="level", lr=3e-3, log_every=40)
    train(network, both, config, tmp_path / "c.safetensors", on_log=logs.append)
    assert logs[-1].loss < 0.5 * logs[0].loss
    assert torch.equal(network.levels()[0].state_dict()["branches.0.unet.tail.weight"], before)


def test_the_level_of_15_belongs_to_the_last_module() -> None:
    external = torch.tensor([[0.2, 0.3, 0.5]]).reshape(1, 3, 1, 1).expand(4, -1, 2, 2)
    for level, weight in ((3, 0.2), (7, 0.3), (11, 0.5), (15, 0.5)):
        loss = level_loss(external, torch.full((4,), level, dtype=torch.uint8))
        assert loss.exp().item() == pytest.approx(1 / weight, rel=1e-3)


def test_losses() -> None:
    a, b = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.1)
    assert loss_of("l2", a, b).item() == pytest.approx(0.01)
    assert loss_of("charbonnier", a, b).item() == pytest.approx(0.1, rel=1e-3)
    assert loss_of("psnr", a, b).item() == pytest.approx(-20, abs=0.01)
