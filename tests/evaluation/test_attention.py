"""Attention taken apart and measured, on networks whose every result is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from david_cli.errors import ModelError
from david_cli.evaluation.attention import (
    ClipAttention,
    attention_tables,
    is_degenerate,
    judge,
    measure_attention,
)
from david_cli.evaluation.explain import (
    Explainer,
    branch_names,
    dissect,
    even_results,
    load_attentive,
    module_names,
)
from david_cli.evaluation.pairs import find_clips
from david_cli.evaluation.render import to_rows
from david_cli.inference.loading import prepare_deblurrer
from david_cli.network.david import DavidConfig, Explained
from david_cli.network.weights import save_network
from tests.evaluation.folders import paint_levels, psnr_of
from tests.evaluation.networks import constant_network, random_network

DUAL = DavidConfig(branches=(1, 3, 5, 7), modules=3, widths=(4, 4), attention_widths=(4, 4))
INTERNAL = replace(DUAL, modules=1)
EXTERNAL = replace(DUAL, branches=(7,))
SINGLE = replace(DUAL, modules=1, branches=(7,))


@pytest.mark.parametrize(
    "config", [DUAL, INTERNAL, EXTERNAL, SINGLE, replace(DUAL, softmax=False, unshuffle=1)]
)
def test_the_branches_under_their_maps_give_the_result(config: DavidConfig) -> None:
    network = random_network(config)
    window = torch.rand(2, 7, 3, 21, 30)  # of no multiple of the stride
    with torch.no_grad():
        explained, restored = dissect(network, window)
        assert torch.equal(explained.output, network(window))  # and nothing stays hooked
    assert restored.shape == (2, config.modules, len(config.branches), 3, 21, 30)
    total = torch.zeros_like(explained.output)
    for j, maps in enumerate(explained.internal):
        for i in range(len(config.branches)):
            part = restored[:, j, i]
            if maps is not None:
                part = part * maps[:, i : i + 1]
            if explained.external is not None:
                part = part * explained.external[:, j : j + 1]
            total += part
    assert torch.allclose(total, explained.output, atol=1e-6)
    assert not any(m._forward_hooks for m in network.modules())


def test_even_results_by_hand() -> None:
    values = torch.tensor([[[1.0, 3.0], [5.0, 11.0]]])  # (B, modules, branches)
    restored = values[..., None, None, None].expand(1, 2, 2, 3, 4, 4)
    external = torch.tensor([0.25, 0.75])[None, :, None, None].expand(1, 2, 4, 4)
    internal = torch.tensor([0.1, 0.9])[None, :, None, None].expand(1, 2, 4, 4)
    output = torch.zeros(1, 3, 4, 4)
    # modules give 0.1 + 2.7 = 2.8 and 0.5 + 9.9 = 10.4; even branches give 2 and 8
    even_external, even_internal = even_results(
        Explained(output, external, (internal, internal)), restored
    )
    assert even_external.flatten().tolist() == pytest.approx([6.6] * 48)
    assert even_internal.flatten().tolist() == pytest.approx([0.25 * 2 + 0.75 * 8] * 48)
    alone, _ = even_results(Explained(output, None, (internal,)), restored[:, :1])
    assert alone.flatten().tolist() == pytest.approx([2.8] * 48)


@pytest.mark.parametrize("config", [DUAL, INTERNAL, EXTERNAL])
def test_an_explainer_gives_what_the_network_explains(config: DavidConfig) -> None:
    network, window = random_network(config), torch.rand(7, 3, 21, 30)
    seen = Explainer(network, device="cpu", tile=0)(window)
    with torch.no_grad():
        explained = network.explain(window[None])
    assert torch.equal(seen.result, explained.output[0])
    assert (seen.external is None) == (explained.external is None)
    if seen.external is not None and explained.external is not None:
        assert torch.equal(seen.external, explained.external[0])
    maps = [m[0] for m in explained.internal if m is not None]
    assert len(maps) == len(seen.internal)
    assert all(torch.equal(a, b) for a, b in zip(seen.internal, maps, strict=True))


def test_tiles_blend_the_maps_like_the_picture() -> None:
    network, window = random_network(DUAL), torch.rand(7, 3, 40, 56)
    settings: dict[str, Any] = {"device": "cpu", "tile": 24, "overlap": 8}
    seen = Explainer(network, **settings)(window)
    exactly: dict[str, Any] = {**settings, "precision": "fp32", "guard": False}
    picture = prepare_deblurrer(network, **exactly)(window[None])[0]
    assert torch.allclose(seen.result, picture, atol=1e-6)
    assert seen.external is not None
    for maps in (seen.external, *seen.internal):
        assert torch.allclose(maps.sum(0), torch.ones(40, 56), atol=1e-5)


def test_costs_by_hand(tmp_path: Path) -> None:
    """Branches add 10 and 30 codes, mixed to 29; inputs are 30 too dark at level 3, 31 at 7."""
    paint_levels(tmp_path / "clip", {3: [-30] * 8, 7: [-31] * 8})
    light, heavy = find_clips(tmp_path)
    internal = replace(DUAL, modules=1, branches=(1, 3))
    network = constant_network(internal, [[10, 30]], internal=[0.05, 0.95])
    explainer = Explainer(network, device="cpu")
    at_3, at_7 = (measure_attention(clip, explainer) for clip in (light, heavy))
    assert (at_3.clip, at_3.level, at_7.level) == ("clip", 3, 7)
    assert at_3.external == ()
    assert at_3.internal[0] == pytest.approx((0.05, 0.95), abs=1e-5)
    assert at_3.psnr == pytest.approx(psnr_of(1))
    assert at_3.external_cost == 0
    assert at_3.internal_cost == pytest.approx(psnr_of(1) - psnr_of(10))
    assert at_7.internal_cost == pytest.approx(psnr_of(2) - psnr_of(11))
    rows = to_rows(attention_tables([at_3, at_7], internal)["cost"])
    assert rows[1] == {
        "dB that even maps cost": "internal",
        "level 3": pytest.approx(at_3.internal_cost, abs=1e-5),
        "level 7": pytest.approx(at_7.internal_cost, abs=1e-5),
        "mean": pytest.approx((at_3.internal_cost + at_7.internal_cost) / 2, abs=1e-5),
    }


def test_external_costs_and_weights_by_hand(tmp_path: Path) -> None:
    paint_levels(tmp_path / "clip", {3: [-20] * 8})
    external = [0.05, 0.15, 0.8]  # 0.05 * 0 + 0.15 * 20 + 0.8 * 20 = 19, evenly 13.33
    network = constant_network(EXTERNAL, [[0], [20], [20]], external=external)
    found = measure_attention(find_clips(tmp_path)[0], Explainer(network, device="cpu"))
    assert found.external == pytest.approx(external, abs=1e-5)
    assert found.internal == ()
    assert found.psnr == pytest.approx(psnr_of(1))
    assert found.external_cost == pytest.approx(psnr_of(1) - psnr_of(7))  # 13.33 is 13 in codes
    tables = attention_tables([found], EXTERNAL)
    assert list(tables) == ["external", "cost"]
    assert [row[0] for row in tables["external"].rows] == list(module_names(EXTERNAL))


def test_the_ends_of_a_clip_are_not_measured(tmp_path: Path) -> None:
    paint_levels(tmp_path / "clip", {3: [*[90] * 3, 5, 5, *[90] * 3]})
    network = constant_network(EXTERNAL, [[0]] * 3, external=[0.2, 0.3, 0.5])
    found = measure_attention(find_clips(tmp_path)[0], Explainer(network, device="cpu"))
    assert found.psnr == pytest.approx(psnr_of(5))


def clips(
    light: tuple[float, ...] = (0.6, 0.3, 0.1),
    heavy: tuple[float, ...] = (0.2, 0.3, 0.5),
    costs: tuple[float, float] = (0.2, 0.2),
) -> list[ClipAttention]:
    return [
        ClipAttention("a", level, 30, external, (), *costs)
        for level, external in ((3, light), (7, light), (15, heavy))
    ]


@pytest.mark.parametrize(
    ("measured", "broken"),
    [
        (clips(), []),
        (clips(heavy=(0.0, 0.0, 1.0), light=(0.05, 0.05, 0.9)), ["1 of 3 modules"]),
        (clips(heavy=(0.6, 0.3, 0.1)), ["module 11 weighs"]),
        (clips(costs=(0.09, 0.2)), ["even external maps"]),
        (clips(costs=(0.2, 0.09)), ["even internal maps"]),
        (clips(costs=(-1, -1)), ["even external maps", "even internal maps"]),
    ],
)
def test_degenerate_attention_is_called_so(
    measured: list[ClipAttention], broken: list[str]
) -> None:
    checks = judge(measured, DUAL)
    assert len(checks) == 4
    found = [check.text for check in checks if not check.holds]
    assert len(found) == len(broken)
    assert all(text.startswith(words) for text, words in zip(found, broken, strict=True))


def test_only_what_a_model_has_is_judged() -> None:
    assert [c.text[:13] for c in judge(clips(), INTERNAL)] == ["even internal"]
    assert len(judge(clips(), EXTERNAL)) == 3


@pytest.mark.parametrize(
    "measured",
    [
        clips()[:1],  # one level alone cannot rise
        [replace(clip, level=None) for clip in clips()],
        [replace(clip, clip=str(clip.level)) for clip in clips()],  # no clip is there at both ends
    ],
)
def test_what_cannot_be_compared_is_not_judged(measured: list[ClipAttention]) -> None:
    checks = judge(measured, EXTERNAL)
    assert [check.holds for check in checks] == [True, None, True]
    assert is_degenerate(checks) is None
    assert is_degenerate([*checks, replace(checks[0], holds=False)]) is True
    assert is_degenerate(judge(clips(), EXTERNAL)) is False


def test_only_clips_at_both_ends_are_compared() -> None:
    """Another clip, all at the lightest level, has the last module weigh more than any."""
    other = replace(clips()[0], clip="b", external=(0.0, 0.1, 0.9))
    (check,) = [c for c in judge([*clips(), other], EXTERNAL) if "weighs" in c.text]
    assert check.holds
    assert check.text == "module 11 weighs 0.100 at level 3, 0.500 at level 15 (more)"


def test_names() -> None:
    assert module_names(DUAL) == ("module 3", "module 7", "module 11")
    assert module_names(replace(DUAL, modules=2)) == ("module 1 of 2", "module 2 of 2")
    assert branch_names(DUAL) == ("1 frame", "3 frames", "5 frames", "7 frames")


def test_a_model_without_attention_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "single.safetensors"
    save_network(random_network(SINGLE), path, {})
    with pytest.raises(ModelError, match=r"no attention.*--model david"):
        load_attentive(path)
