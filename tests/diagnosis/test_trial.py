"""The self-test: passes with the shipped weights, and fails for each thing that can be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from david_cli.diagnosis import trial
from david_cli.diagnosis.trial import (
    Outcome,
    check_deblurring,
    judge,
    make_clip,
    read_clip,
    try_deblurring,
    write_y4m,
)
from david_cli.inference.loading import prepare_deblurrer
from david_cli.network.david import David, DavidConfig

GOOD = Outcome(trial.FRAMES, times_kept=True, exact=True, gain=1.2, seconds=0.2)


@pytest.mark.weights
def test_the_shipped_weights_pass() -> None:
    (found,) = check_deblurring()
    assert found.status == "ok", found.what
    assert found.facts["gain"] > 2 * trial.LEAST_GAIN


def test_a_network_that_does_nothing_does_not_pass() -> None:
    tiny = DavidConfig(modules=1, branches=(7,), widths=(4, 4), attention_widths=(4,))
    torch.manual_seed(0)
    outcome = try_deblurring(prepare_deblurrer(David(tiny), device="cpu"))
    assert abs(outcome.gain) < 0.1  # a new network changes nothing
    assert (outcome.frames, outcome.times_kept, outcome.exact) == (trial.FRAMES, True, True)
    found = judge(outcome, "tiny")
    assert (found.status, found.exit_code) == ("problem", 5)


@pytest.mark.parametrize("change", [{"frames": 11}, {"times_kept": False}, {"exact": False}])
def test_what_is_lost_is_a_failed_verification(change: dict[str, bool]) -> None:
    assert judge(GOOD, "tiny").status == "ok"
    found = judge(replace(GOOD, **change), "tiny")
    assert (found.status, found.exit_code) == ("problem", 8)


def test_the_clip_comes_back_as_it_was_written(tmp_path: Path) -> None:
    sharp, blurry = make_clip()
    assert sharp.shape == blurry.shape and not np.array_equal(sharp, blurry)
    assert np.array_equal(sharp, make_clip()[0])
    write_y4m(tmp_path / "clip.y4m", blurry)
    luma, chroma, times = read_clip(tmp_path / "clip.y4m")
    assert np.array_equal(luma, blurry) and chroma == {128}
    assert times == [number * times[1] for number in range(trial.FRAMES)]
