"""Exported files compute what torch computes, at any size, and say what they are."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from david_cli.errors import DavidError, OutputError, UsageError
from david_cli.inference import export, export_check
from david_cli.inference.export import export_onnx, export_openvino, model_facts
from david_cli.network.build import Network
from david_cli.network.david import DavidConfig
from david_cli.network.dbn import Dbn, DbnConfig
from david_cli.network.weights import read_info, save_network, shipped_models
from tests.network.test_fast import made, plain, window

TINY = DavidConfig(modules=1, branches=(3, 7), widths=(4, 8), attention_widths=(4, 8), leak=0.1)
SIZES = [(1, 32, 48), (1, 37, 51), (2, 16, 23), (3, 1, 1), (1, 5, 90)]
FACTS = {"model": "tiny", "sha256": "0123", "levels": "3,7", "contract": "a window in"}


@pytest.fixture(scope="module")
def network() -> Network:
    return made(TINY)


@pytest.fixture(scope="module")
def onnx_file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    written = export_onnx(network, path, FACTS)
    assert written.bytes == path.stat().st_size
    assert written.check is not None and 0 < written.check.difference < 1e-4
    assert [p.name for p in path.parent.iterdir()] == ["tiny.onnx"]
    return path


@pytest.fixture(scope="module")
def openvino_file(
    network: Network, onnx_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    pytest.importorskip("openvino")
    path = tmp_path_factory.mktemp("openvino") / "tiny.xml"
    with pytest.MonkeyPatch.context() as patch:  # traced once is enough
        patch.setattr(export, "_onnx", lambda *_: onnx_file.read_bytes())
        written = export_openvino(network, path, FACTS, "fp16")
    assert written.check is not None and written.check.difference < 1e-2
    assert sorted(p.name for p in path.parent.iterdir()) == ["tiny.bin", "tiny.xml"]
    return path


def run_by_onnxruntime(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(["sharp"], {"window": x.numpy()})[0])


@pytest.mark.parametrize(("batch", "height", "width"), SIZES)
def test_onnx_is_the_same_network(
    network: Network, onnx_file: Path, batch: int, height: int, width: int
) -> None:
    frames = window(network, height, width, batch)
    expected = plain(network, frames)
    assert (expected - frames[:, 3]).abs().mean() > 1e-3
    assert torch.allclose(run_by_onnxruntime(onnx_file)(frames), expected, atol=1e-4)


@pytest.mark.parametrize(("batch", "height", "width"), SIZES)
def test_openvino_is_the_same_network(
    network: Network, openvino_file: Path, batch: int, height: int, width: int
) -> None:
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(openvino_file, "CPU", exact)
    frames = window(network, height, width, batch)
    result = torch.from_numpy(model({"window": frames.numpy()})["sharp"])
    assert torch.allclose(result, plain(network, frames), atol=1e-2)  # of float16 weights


def test_the_files_say_what_they_are(onnx_file: Path, openvino_file: Path) -> None:
    import onnx
    import openvino

    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == FACTS
    sizes = [size.dim_param or size.dim_value for size in _sizes(model.graph.input[0])]
    assert sizes == ["batch", 7, 3, "height", "width"]
    sizes = [size.dim_param or size.dim_value for size in _sizes(model.graph.output[0])]
    assert sizes == ["batch", 3, "height", "width"]
    assert str(Path.cwd()).encode() not in onnx_file.read_bytes()  # nor where it was traced
    told = openvino.Core().read_model(openvino_file).get_rt_info(["david", "model"])
    assert told.astype(str) == "tiny"


def test_float16_halves_the_weights_of_shipped_models_without_loss(
    network: Network, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    model = onnx.load(onnx_file)
    export._halve_weights(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "half.onnx")
    kinds = {len(w.dims) > 1: w.data_type for w in model.graph.initializer if w.dims}
    assert kinds[True] == onnx.TensorProto.FLOAT16
    rounded = made(TINY)
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())
    frames = window(network, 20, 30)
    result = run_by_onnxruntime(tmp_path / "half.onnx")(frames)
    assert torch.allclose(result, plain(rounded, frames), atol=1e-5)


@pytest.mark.slow
def test_every_other_network_is_exported_too(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    dbn = made_dbn()
    written = export_onnx(dbn, tmp_path / "dbn.onnx", {}, "fp16")
    assert written.check is not None
    for config in (
        replace(TINY, softmax=False),
        replace(TINY, unshuffle=1, block="plain", down="maxpool", skip="concat", leak=0.0),
    ):
        network = made(config)
        path = tmp_path / "david.onnx"
        export_onnx(network, path, {})
        frames = window(network, 21, 34, 2)
        assert torch.allclose(run_by_onnxruntime(path)(frames), plain(network, frames), atol=1e-4)


def made_dbn() -> Dbn:
    torch.manual_seed(0)
    network = Dbn(DbnConfig(width=4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return network.eval()


def test_a_file_that_computes_something_else_is_not_kept(
    onnx_file: Path, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    other = made(TINY)
    with torch.no_grad():
        other.levels()[0].restorers()[0].unet.tail.weight.add_(0.2)
    monkeypatch.setattr(export, "_onnx", lambda *_: onnx_file.read_bytes())
    with pytest.raises(DavidError, match="nothing was kept"):
        export_onnx(other, tmp_path / "other.onnx", FACTS)
    assert list(tmp_path.iterdir()) == []


def test_not_a_number_is_a_difference(network: Network) -> None:
    with pytest.raises(DavidError, match="differs"):
        export_check._difference(lambda x: torch.full_like(x[:, 0], np.nan), network, "fp32")


def test_what_is_missing_is_named(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs onnx, onnxscript: .*'david-cli\[onnx\]'"):
        export_onnx(network, tmp_path / "a.onnx", {})
    with pytest.raises(UsageError, match=r"'david-cli\[onnx,openvino\]'"):
        export_openvino(network, tmp_path / "a.xml", {})


def test_without_a_runtime_the_file_is_written_unchecked(
    onnx_file: Path, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    hidden = lambda name: None if name == "onnxruntime" else found(name)  # noqa: E731
    monkeypatch.setattr(export, "find_spec", hidden)
    monkeypatch.setattr(export, "_onnx", lambda *_: onnx_file.read_bytes())
    written = export_onnx(network, tmp_path / "a.onnx", {})
    assert written.check is None and written.path.read_bytes() == onnx_file.read_bytes()


def test_a_folder_that_is_not_there_is_an_output_error(
    onnx_file: Path, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_onnx", lambda *_: onnx_file.read_bytes())
    with pytest.raises(OutputError, match="cannot be written"):
        export_onnx(network, tmp_path / "none" / "a.onnx", {})


def test_the_facts_are_those_of_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_network(made(TINY), path, {}, gain={"3": 0.1, "15": 1.5})
    facts = model_facts(read_info(path))
    assert (facts["model"], facts["levels"], facts["frames"]) == ("mine", "3,15", "7")
    assert json.loads(facts["config"])["widths"] == [4, 8]
    assert "licence" not in facts  # whose weights these are is not known
    assert all(model_facts(shipped)["licence"] == "MIT" for shipped in shipped_models())


def _sizes(value: object) -> list[object]:
    return list(value.type.tensor_type.shape.dim)  # type: ignore[attr-defined]
