"""The trainer: it learns, it resumes to the bit, it freezes what it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from david_cli.errors import DavidError
from david_cli.network.david import David
from david_cli.synthesis.packs import Pack
from david_cli.training import trainer
from david_cli.training.config import OptimizerName, Part, Precision, TrainConfig
from david_cli.training.trainer import StepLog, learning_rate, select, train
from tests.network.test_david import SINGLE, TINY
from tests.training.quick import QUICK


def fresh() -> David:
    torch.manual_seed(3)
    return David(SINGLE)


def test_training_lowers_the_error(pack: Pack, tmp_path: Path) -> None:
    logs: list[StepLog] = []
    config = replace(QUICK, steps=150, lr=3e-3, warmup=10, log_every=50)
    train(fresh(), pack, config, tmp_path / "c.safetensors", on_log=logs.append)
    assert logs[-1].gain > 0.5
    assert logs[-1].loss < logs[0].loss


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16", "float16"])
def test_a_resumed_run_equals_a_straight_one_to_the_bit(
    precision: Precision, optimizer: OptimizerName, pack: Pack, tmp_path: Path
) -> None:
    config = replace(QUICK, precision=precision, optimizer=optimizer)
    straight = train(fresh(), pack, config, tmp_path / "straight.safetensors")

    class Stop(Exception):
        pass

    def interrupt(step: int, average: dict[str, Tensor]) -> None:
        if step == 3:
            raise Stop

    checkpoint = tmp_path / "stopped.safetensors"
    often = replace(config, checkpoint_minutes=0)  # how often to save decides nothing
    with pytest.raises(Stop):
        train(fresh(), pack, often, checkpoint, on_checkpoint=interrupt)
    torch.manual_seed(99)
    resumed = train(David(SINGLE), pack, config, checkpoint)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_a_resumed_run_logs_what_a_straight_one_does(pack: Pack, tmp_path: Path) -> None:
    config = replace(QUICK, log_every=2, checkpoint_minutes=0)
    straight: list[StepLog] = []
    train(fresh(), pack, config, tmp_path / "straight.safetensors", on_log=straight.append)

    class Stop(Exception):
        pass

    def stop(step: int, average: dict[str, Tensor]) -> None:
        raise Stop

    checkpoint, resumed = tmp_path / "stopped.safetensors", list[StepLog]()
    with pytest.raises(Stop):
        train(fresh(), pack, config, checkpoint, on_log=resumed.append, on_checkpoint=stop)
    train(fresh(), pack, config, checkpoint, on_log=resumed.append)
    assert [(log.step, log.loss) for log in resumed] == [(log.step, log.loss) for log in straight]


def test_slow_validation_does_not_bring_on_the_next(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("david_cli.training.trainer.time.monotonic", lambda: now[0])
    steps: list[int] = []

    def validate(step: int, average: dict[str, Tensor]) -> None:
        steps.append(step)
        now[0] += 600

    config = replace(QUICK, checkpoint_minutes=1)
    train(
        fresh(),
        pack,
        config,
        tmp_path / "c.safetensors",
        on_log=lambda log: now.__setitem__(0, now[0] + 25),
        on_checkpoint=validate,
    )
    assert steps == [3, 6]


def test_a_loss_that_breaks_down_stops_the_run(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(DavidError, match=r"step 1 .*no checkpoint was due: lower `lr`"):
        train(fresh(), pack, replace(QUICK, lr=1e30, warmup=0), tmp_path / "c.safetensors")


def belongs(part: Part, name: str) -> bool:
    """Section 4.1, by the names of tensors."""
    if part == "external":
        return name.startswith("external.")
    return part == "all" or name.startswith("external.") or ".attention." in name


@pytest.mark.parametrize("part", ["all", "attention", "external"])
def test_exactly_the_chosen_part_moves(part: Part, pack: Pack, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = David(replace(TINY, softmax=False))  # raw, even maps reach every branch at once
    for module in network.levels():
        assert module.attention is not None
        module.attention.start_even()
    assert network.external is not None
    network.external.start_even()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    train(network, pack, replace(QUICK, part=part), tmp_path / "c.safetensors")
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if belongs(part, k)}


def test_the_same_seed_gives_the_same_losses(pack: Pack, tmp_path: Path) -> None:
    runs: list[list[float]] = [[], []]
    for i, losses in enumerate(runs):
        train(
            fresh(),
            pack,
            QUICK,
            tmp_path / f"{i}.safetensors",
            on_log=lambda log, losses=losses: losses.append(log.loss),  # type: ignore[misc]
        )
    assert runs[0] == runs[1] and len(runs[0]) == QUICK.steps


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_too(precision: Precision, pack: Pack, tmp_path: Path) -> None:
    logs: list[StepLog] = []
    config = replace(QUICK, steps=150, lr=3e-3, warmup=10, log_every=50, precision=precision)
    train(fresh(), pack, config, tmp_path / "c.safetensors", on_log=logs.append)
    assert logs[-1].gain > 0.4


@pytest.mark.parametrize(("has_bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_only_where_the_cpu_multiplies_it(
    has_bf16: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "multiplies_bf16", lambda: has_bf16)
    cpu = torch.device("cpu")
    assert trainer.arithmetic(replace(QUICK, precision="auto"), cpu) is dtype
    assert trainer.arithmetic(replace(QUICK, precision="bfloat16"), cpu) is torch.bfloat16
    assert (
        trainer.arithmetic(replace(QUICK, precision="auto"), torch.device("mps")) is torch.float32
    )


def test_a_single_branch_has_no_attention_to_train() -> None:
    with pytest.raises(DavidError, match="no attention part"):
        select(fresh(), "attention")


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
