"""DAVID-X: what it starts from, what it is shown, and what it makes of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from david_cli.errors import ModelError
from david_cli.network.david import David, DavidConfig
from david_cli.network.davidx import DavidX, DavidXConfig, begin
from david_cli.network.weights import load_david, load_network, read_info, save_network
from tests.network.scenery import moved, scenery

SMALL = DavidXConfig(exposures=(0.5, 1.0), iterations=(1, 2), widths=(4, 6))
SINGLE = replace(SMALL.branch, attention_widths=(4, 6))


def randomised(network: Any, seed: int = 0) -> Any:
    """Every tensor matters, the last convolution's too."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def window(size: tuple[int, int] = (48, 64), step: float = 3.0) -> Tensor:
    """(1, 7, 3, H, W): a picture that moves to the right."""
    picture = scenery(size)
    return torch.stack([moved(picture, n * step, 0.0) for n in range(-3, 4)], 1).clamp(0, 1)


def blurry(picture: Tensor, place: Tensor, velocity: Tensor, exposure: float) -> Tensor:
    """At a place, moving: the mean of 17 exact displacements."""
    moments = torch.linspace(-exposure / 2, exposure / 2, 17).tolist()
    return torch.stack([moved(picture, *(place + t * velocity).tolist()) for t in moments]).mean(0)


@pytest.mark.parametrize("size", [(1, 1), (5, 30), (33, 47), (48, 64)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int]) -> None:
    network = randomised(DavidX(SMALL))
    with torch.no_grad():
        output = network(torch.rand(2, 7, 3, *size))
    assert output.shape == (2, 3, *size)
    assert output.isfinite().all()


def test_untrained_it_changes_nothing_that_stands_still() -> None:
    still = scenery((32, 48))[:, None].expand(-1, 7, -1, -1, -1)
    with torch.no_grad():
        output = DavidX(SMALL)(still)
    assert torch.allclose(output, still[:, 3], atol=1e-4)


def test_it_starts_from_what_a_single_david_gives() -> None:
    """But for the small share that untrained maps leave to the candidates."""
    single = randomised(David(SINGLE))
    network, moving = begin(SMALL, [single]), window()
    with torch.no_grad():
        before, after = single(moving), network(moving)
        changes = network.hints(moving).changes
    shares = torch.tensor([4.0, *SMALL.candidates * [0.0]]).softmax(0)
    expected = before + shares[1] * changes.sum(1, keepdim=True)
    assert torch.allclose(after, expected, atol=1e-5)
    assert not torch.equal(before, moving[:, 3])


@pytest.mark.parametrize(
    "sources",
    [
        [],
        [David(SINGLE), David(SINGLE)],
        [David(replace(SINGLE, widths=(4, 8)))],
        [David(replace(SINGLE, branches=(5,)))],
        [David(DavidConfig(widths=(4, 6), attention_widths=(4, 6), leak=0.1))],
    ],
    ids=["none", "two", "another width", "fewer frames", "dual"],
)
def test_it_starts_from_nothing_else(sources: list[David]) -> None:
    with pytest.raises(ValueError, match="david-x starts from"):
        begin(SMALL, sources)


def test_hints_are_the_blur_taken_back_the_neighbours_and_the_motion() -> None:
    moving = window((96, 128))
    changes, aligned, motion, _ = DavidX(SMALL).hints(moving)
    assert changes.shape == (1, 4, 96, 128)
    assert aligned.shape == (1, 2, 96, 128)
    inner = (..., slice(24, -24), slice(24, -24))
    expected = torch.tensor([3.0, 0.0, -3.0, 0.0]).view(1, 4, 1, 1)
    assert (motion - expected)[inner].abs().median() < 0.05
    assert aligned[inner].abs().median() < 0.01, "a neighbour is the centre, once it is in place"
    strengths = changes[inner].square().mean((0, 2, 3))
    assert strengths[1] > strengths[0], "more steps change more"
    assert strengths[3] > strengths[1], "and so do longer exposures"


def test_where_a_clip_begins_the_camera_does_not_turn_round() -> None:
    moving = window((96, 128))
    mirrored = torch.cat((moving[:, 4:].flip(1), moving[:, 3:]), 1)
    assert torch.equal(mirrored[:, 2], mirrored[:, 4])
    network = DavidX(SMALL)
    end, inside = network.hints(mirrored), network.hints(moving)
    assert torch.equal(end.motion[:, 2:], -end.motion[:, :2])
    inner = (..., slice(24, -24), slice(24, -24))
    apart = (end.changes - inside.changes)[inner]
    assert apart.abs().mean() < 0.1 * inside.changes[inner].abs().mean()


@pytest.mark.parametrize("ends", [0, 1], ids=["with the frame", "with the next"])
def test_where_a_clip_ends_steady_motion_still_says_nothing_of_the_exposure(ends: int) -> None:
    """Neither the frame's own motion nor its neighbour's is taken for a turn."""
    moving = window((96, 128))
    last = 3 + ends
    mirrored = torch.cat((moving[:, : last + 1], moving[:, 2 * last - 6 : last].flip(1)), 1)
    assert mirrored.shape == moving.shape
    network = DavidX(SMALL)
    end, inside = (network.hints(w).traces[..., 6:-6, 6:-6] for w in (mirrored, moving))
    differs, detail = end.chunk(2, 1)
    assert (differs / detail).median() < 0.01
    assert torch.allclose(end, inside, atol=0.02 * float(detail.mean()))


@pytest.mark.parametrize("exposure", SMALL.exposures)
def test_traces_tell_the_exposure_where_the_motion_changes(exposure: float) -> None:
    way = [(-14, 3), (-9, 9), (-3, 12), (-1, 6), (0, 0), (6, -1), (12, 3), (13, 9), (11, 12)]
    places, picture = torch.tensor(way, dtype=torch.float32), scenery((128, 160))
    frames = [
        blurry(picture, places[n], (places[n + 1] - places[n - 1]) / 2, exposure)
        for n in range(1, 8)
    ]
    moving = torch.stack(frames, 1)
    differs, detail = DavidX(SMALL).hints(moving).traces[..., 8:-8, 8:-8].mean((2, 3)).chunk(2, 1)
    likely = int((differs / detail).argmin())
    assert (0.0, *SMALL.exposures)[likely] == exposure


def test_the_judge_hears_the_whole_frame_and_counts_everywhere() -> None:
    network, moving = randomised(DavidX(SMALL)), window()
    with torch.no_grad():
        for parameter in network.unet.parameters():
            parameter.zero_()
        logits = network.explain(moving).logits
        other = network.explain(window(step=1.0)).logits
    assert torch.allclose(logits, logits[..., :1, :1].expand_as(logits))
    assert (logits - other).abs().max() > 1e-3


def test_hints_stay_exact_where_the_network_is_in_half_precision() -> None:
    network, moving = randomised(DavidX(SMALL)), window()
    with torch.no_grad():
        exact = network(moving)
        rounded = network.to(torch.bfloat16)(moving.bfloat16()).float()
    assert torch.allclose(rounded, exact, atol=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        hints = network.hints(moving)
    assert all(map(torch.equal, hints, network.hints(moving)))


@pytest.mark.parametrize("part", [0, 1], ids=["local", "evidence"])
@pytest.mark.parametrize("chosen", range(SMALL.candidates))
def test_maps_choose_among_candidates(chosen: int, part: int) -> None:
    """All of one map's weight gives that candidate, its luminance added to every channel."""
    network, moving = DavidX(SMALL), window()
    pixels, bias = SMALL.unshuffle**2, network.unet.last.bias
    assert bias is not None
    with torch.no_grad():
        bias[3 * pixels :].zero_()
        first = (4 + chosen + part * (1 + SMALL.candidates)) * pixels
        bias[first : first + pixels].fill_(60)
        changes = network.hints(moving).changes
        output = network(moving)
    assert torch.allclose(output, moving[:, 3] + changes[:, chosen, None], atol=1e-5)


def test_evidence_counts_everywhere() -> None:
    """What speaks for an exposure in one half of a frame changes the weights in the other."""
    network = randomised(DavidX(replace(SMALL, widths=(4,))))
    still = torch.full((1, 7, 3, 32, 128), 0.5)
    textured = still.clone()
    textured[..., :32] = window((32, 32))
    with torch.no_grad():
        plain, beside = (network.explain(w).logits[..., 100:] for w in (still, textured))
    apart = beside - plain
    assert apart.abs().amax() > 1e-4
    assert torch.allclose(apart, apart.mean((2, 3), keepdim=True).expand_as(apart), atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": 4},
        {"frames": 3},
        {"exposures": ()},
        {"exposures": (0.0,)},
        {"iterations": (0,)},
        {"widths": ()},
        {"leak": 1.0},
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|be"):
        DavidXConfig.from_dict({**SMALL.to_dict(), **changes})


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    network, path, moving = randomised(DavidX(SMALL)), tmp_path / "x.safetensors", window()
    save_network(network, path, {"data": "none"})
    assert read_info(path).config == SMALL
    loaded = load_network(path)
    with torch.no_grad():
        assert (loaded(moving) - network(moving)).abs().max() < 1e-2
    with pytest.raises(ModelError, match="no branches or attention"):
        load_david(path)
    with pytest.raises(ValueError, match="unknown network settings: depth"):
        DavidXConfig.from_dict({"depth": 3})
