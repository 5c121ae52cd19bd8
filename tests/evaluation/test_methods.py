"""What can be compared: names become methods, and each runs once over each clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from david_cli.errors import ModelError, UsageError
from david_cli.evaluation import methods as module
from david_cli.evaluation.flow import align, align_window
from david_cli.evaluation.methods import Method, load_methods, score_methods
from david_cli.evaluation.pairs import PairedClip, find_clips
from david_cli.evaluation.wfa import BLOCK, accumulate
from david_cli.inference import deblurrer as running
from david_cli.network.build import Config, build, count_gmacs, count_parameters
from david_cli.network.david import DavidConfig
from david_cli.network.dbn import DbnConfig
from david_cli.network.weights import load_network, save_network
from tests.evaluation.folders import SIZE, paint_dvd, psnr_of
from tests.evaluation.test_flow import texture

SINGLE = DavidConfig(modules=1, branches=(3,), widths=(4, 4), attention_widths=(4,))
INTERNAL = DavidConfig(modules=1, branches=(1, 7), widths=(4, 4), attention_widths=(4,))
EXTERNAL = DavidConfig(modules=2, branches=(7,), widths=(4, 4), attention_widths=(4,))
DBN = DbnConfig(width=2)
ALPHA = 0.01
"""Noise added to fresh weights: enough to change a picture, too little to alarm the guard."""


def weights(path: Path, config: Config = SINGLE, **training: Any) -> Path:
    """A random network, which changes every picture."""
    torch.manual_seed(0)
    network = build(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=ALPHA)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_network(network, path, training)
    return path


def frames(count: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, *SIZE, generator=generator) for _ in range(count)]


def test_a_weights_file_brings_its_costs_and_its_history(tmp_path: Path) -> None:
    path = weights(tmp_path / "a.safetensors", row="Single-7", steps=1200, samples=38400)
    (method,) = load_methods([str(path)], device="cpu")
    assert method.name == "Single-7"
    assert method.parameters == count_parameters(SINGLE)
    assert method.gmacs == count_gmacs(SINGLE)
    assert (method.steps, method.samples, method.stacked) == (1200, 38400, 3)
    assert method.weights == path


@pytest.mark.parametrize(
    ("phases", "levels"),
    [
        ([{"levels": [3, 7]}, {"levels": [11]}], (11,)),
        ([{"levels": [11]}, {"levels": None}], ()),
        ([{"levels": [3, 7]}], (3, 7)),
        ([{"steps": 5}], None),
        ([], None),
        ("many", None),
    ],
)
def test_the_levels_are_those_of_the_last_phase(
    tmp_path: Path, phases: object, levels: tuple[int, ...] | None
) -> None:
    (method,) = load_methods([str(weights(tmp_path / "a.safetensors", phases=phases))])
    assert method.levels == levels


def test_frames_are_whole_whatever_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "tile_for_memory", lambda *_: 256)
    path = weights(tmp_path / "a.safetensors")
    (method,) = load_methods([str(path)], device="cpu")
    wide = texture(16, 320)
    with torch.no_grad():
        expected = load_network(path)(wide.expand(1, 7, -1, -1, -1))[0]
    assert torch.allclose(next(method.run(iter([wide]))), expected, atol=1e-6)


@pytest.mark.parametrize("training", [{}, {"row": "", "steps": "many", "command": {"steps": 9}}])
def test_old_files_are_named_by_their_stem(tmp_path: Path, training: dict[str, Any]) -> None:
    (method,) = load_methods([str(weights(tmp_path / "old.safetensors", **training))])
    assert (method.name, method.steps, method.samples) == ("old", None, None)


@pytest.mark.parametrize(
    ("config", "stacked"), [(SINGLE, 3), (INTERNAL, None), (EXTERNAL, None), (DBN, None)]
)
def test_only_single_branches_are_of_table_2(
    tmp_path: Path, config: Config, stacked: int | None
) -> None:
    (method,) = load_methods([str(weights(tmp_path / "a.safetensors", config))], device="cpu")
    assert method.stacked == stacked
    results = list(method.run(iter(frames())))
    assert [r.shape for r in results] == [(3, *SIZE)] * 6
    assert not torch.equal(results[0], frames()[0])
    assert method.events is not None and method.events.kept == 0


def test_a_folder_is_all_its_weights_in_name_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c", "c.checkpoint"):
        weights(tmp_path / f"{name}.safetensors")
    (tmp_path / "notes.txt").write_text("")
    named = load_methods(["input", str(tmp_path), "wfa-noalign"], device="cpu")
    assert [m.name for m in named] == ["blurry input", "a", "b", "c", "WFA no-align"]


def test_rows_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one = weights(tmp_path / "one.safetensors", row="Dual Att")
    two = weights(tmp_path / "two.safetensors", row="Dual Att")
    names = [m.name for m in load_methods([str(one), str(two), str(two)], device="cpu")]
    assert names == ["Dual Att (one)", "Dual Att (two)", "Dual Att (two) #2"]


@pytest.mark.parametrize("name", ["davide", "flow:davide", "wfa-no"])
def test_an_unknown_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_opencv", lambda: True)
    model = name.removeprefix("flow:")
    with pytest.raises(ModelError, match=f"no model named {model!r}"):
        load_methods([name])


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no weights"):
        load_methods([str(tmp_path)])


@pytest.mark.parametrize("name", ["wfa", "flow:david-lite"])
def test_without_opencv_flow_is_refused_before_the_work(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_opencv", lambda: False)
    with pytest.raises(UsageError, match=rf"--model {name} needs OpenCV .*david-cli\[flow\]"):
        load_methods(["input", name])


def shaken(count: int) -> list[Tensor]:
    """A scene that moves by a few pixels a frame, (3, 48, 64), and then another."""
    scenes = texture(64, 96), 1 - texture(64, 96, seed=2)
    return [
        scenes[i >= 4][:, 2 * i % 7 : 2 * i % 7 + 48, 3 * i % 8 : 3 * i % 8 + 64]
        for i in range(count)
    ]


def test_flow_runs_weights_on_aligned_windows(tmp_path: Path) -> None:
    path = weights(tmp_path / "dbn.safetensors", DBN, row="DBN")
    plain, flow = load_methods([str(path), f"flow:{path}"], device="cpu")
    assert (flow.name, flow.weights) == ("DBN, flow", None)
    clip = shaken(7)
    found = list(flow.run(iter(clip)))
    assert len(found) == 7
    network = load_network(path)
    for i in (2, 3, 4):  # windows of five, across the cut: the network's own is not looked for
        window = align_window(torch.stack(clip[i - 2 : i + 3]), consistent=False)
        with torch.no_grad():
            expected = network(window[None])[0]
        torch.testing.assert_close(found[i], expected)
    assert not torch.allclose(found[2], list(plain.run(iter(clip)))[2], atol=1e-3)


def test_wfa_merges_all_neighbours_of_a_clip() -> None:
    """As networks do, it takes one clip for one scene."""
    (method,) = load_methods(["wfa-noalign"])
    clip = shaken(8)
    found = list(method.run(iter(clip)))
    for i in range(8):
        burst = torch.stack(clip[max(0, i - 3) : i + 4])
        torch.testing.assert_close(found[i], accumulate(burst, block=BLOCK))


def test_wfa_aligns_neighbours_first() -> None:
    (method,) = load_methods(["wfa"])
    clip = shaken(4)
    burst = torch.stack([f if f is clip[1] else align(f, clip[1]) for f in clip])
    found = list(method.run(iter(clip)))
    torch.testing.assert_close(found[1], accumulate(burst, block=BLOCK))


def test_every_method_runs_once_over_every_clip(tmp_path: Path) -> None:
    for name, errors in (("a", [5] * 3), ("b", [10] * 2)):
        paint_dvd(tmp_path / name, errors)
    clips = find_clips(tmp_path)
    runs: list[int] = []

    def halfway(blurry: Iterable[Tensor]) -> Iterator[Tensor]:
        runs.append(0)
        return (frame - 4 / 255 for frame in blurry)

    announced: list[tuple[str, str]] = []
    told: list[tuple[str, str, int]] = []

    def on_result(method: Method, clip: PairedClip, index: int, frame: Tensor) -> None:
        assert frame.shape == (3, *SIZE)
        told.append((method.name, clip.name, index))

    untouched, mended = score_methods(
        [Method("input", iter), Method("mended", halfway)],
        clips,
        on_clip=lambda method, clip: announced.append((method.name, clip.name)),
        on_result=on_result,
    )
    assert len(runs) == 2
    assert announced == [("input", "a"), ("input", "b"), ("mended", "a"), ("mended", "b")]
    assert [score.gain for score in untouched.scores] == [0, 0]
    assert [score.psnr for score in mended.scores] == pytest.approx([psnr_of(1), psnr_of(6)])
    assert [score.input_psnr for score in mended.scores] == pytest.approx([psnr_of(5), psnr_of(10)])
    assert [t for t in told if t[0] == "mended"] == [
        *(("mended", "a", i) for i in range(3)),
        *(("mended", "b", i) for i in range(2)),
    ]


@pytest.mark.weights
@pytest.mark.parametrize("model", ["david", "david-lite"])
def test_shipped_models_go_by_their_names(model: str) -> None:
    (method,) = load_methods([model], device="cpu")
    assert method.name == model
