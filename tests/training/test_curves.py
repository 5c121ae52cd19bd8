"""The curves picture shows what the log holds, phase beside phase."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from david_cli.errors import InputError, UsageError
from david_cli.training import curves
from david_cli.training.log import Record, RunLog
from david_cli.training.recipe import Phase
from david_cli.training.trainer import StepLog
from tests.network.test_david import SINGLE
from tests.training.quick import QUICK


def log_of(folder: Path, lengths: list[int], *, gain: dict[str, float] | None = None) -> RunLog:
    """A log of phases of some lengths; every second one has the level loss."""
    log = RunLog(folder)
    for n, length in enumerate(lengths):
        config = replace(QUICK, steps=max(1, length), loss="level" if n % 2 else "psnr")
        phase = Phase(f"phase {n}", SINGLE, config)
        log.phase(phase, 0, 8)
        for step in range(1, length + 1):
            log.step(phase, StepLog(step, n + step / 8, step / 4, 1.0, 1e-3 / step, step), 1.0)
        if gain is not None:
            log.validation(phase, length, gain, 1.0)
    return log


@pytest.mark.parametrize("lengths", [[5], [1, 1], [2, 60, 1], [1] * 30, [400, 1, 1, 3, 90]])
def test_phases_lie_side_by_side(lengths: list[int], tmp_path: Path) -> None:
    spans = curves.lay_out(log_of(tmp_path, lengths).records)
    assert [span.phase for span in spans] == [f"phase {n}" for n in range(len(lengths))]
    assert [span.steps for span in spans] == lengths
    assert spans[0].at(0) == 0
    assert spans[-1].at(lengths[-1]) == pytest.approx(1)
    for left, right in itertools.pairwise(spans):
        assert left.at(left.steps) == pytest.approx(right.at(0))
    assert min(span.width for span in spans) > 1 / (3 * len(spans)) or (
        min(span.width for span in spans) > 0.8 * curves.LEAST_SHARE
    )
    wide = [span for span in spans if span.steps == max(lengths)]
    assert all(span.width >= max(s.width for s in spans) - 1e-9 for span in wide)


def drawn(records: list[Record], label: str) -> list[list[float]]:
    """The heights of all curves in the panel of that name."""
    axes = {axis.get_ylabel().replace("\n", " "): axis for axis in curves.plot(records).axes}
    lines = [line for line in axes[label].lines if line.get_linewidth() == 1]
    return [list(map(float, line.get_ydata())) for line in lines]


def test_the_panels_hold_the_figures_of_the_log(tmp_path: Path) -> None:
    records = log_of(tmp_path, [4, 3, 2], gain={"3": 0.25, "15": -0.5}).records
    own = [
        [r for r in records if (r["phase"], r["event"]) == (f"phase {n}", "step")] for n in range(3)
    ]
    assert drawn(records, "loss (−PSNR, dB)") == [[r["loss"] for r in own[n]] for n in (0, 2)]
    assert drawn(records, "loss (level)") == [[r["loss"] for r in own[1]]]
    assert drawn(records, "gain on training samples (dB)") == [
        [r["gain"] for r in own[n]] for n in (0, 2)
    ]
    assert drawn(records, "learning rate") == [[r["lr"] for r in own[n]] for n in range(3)]
    assert drawn(records, "gain on whole frames (dB)") == [[0.25]] * 3 + [[-0.5]] * 3


def test_levels_are_named_from_light_to_heavy(tmp_path: Path) -> None:
    gain = {"15": 0.1, "3": 0.2, "all": 0.3, "7": 0.4}
    legend = curves.plot(log_of(tmp_path, [2, 2], gain=gain).records).axes[-1].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["level 3", "level 7", "level 15", "all"]


@pytest.mark.parametrize("suffix", curves.SUFFIXES)
def test_a_picture_is_written_over_the_last_one(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / f"curves{suffix}"
    for lengths in ([3], [3, 8]):
        curves.draw_curves(log_of(tmp_path / str(len(lengths)), lengths).records, target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    if suffix == ".png":
        with Image.open(target) as image:
            low, high = image.convert("L").getextrema()
            assert image.width > 1000
            assert (low, high) == (0, 255)


def test_an_empty_log_has_no_curves(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no step is in the log"):
        curves.draw_curves(log_of(tmp_path, [0]).records, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_a_missing_matplotlib_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    curves.check_matplotlib()
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'david-cli\[plots\]'"):
        curves.check_matplotlib()
