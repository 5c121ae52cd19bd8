"""What can be compared on paired clips: the input itself, the baselines, and weights files.

A method is named as on the command line:

    input            the blurry input itself
    wfa              Fourier burst accumulation on neighbours aligned by optical flow
    wfa-noalign      the same on neighbours as they are
    NAME             a shipped model, a weights file, or every weights file of a folder
    flow:NAME        the same, its neighbours first aligned to the centre by optical flow

Optical flow needs OpenCV.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from david_cli.errors import ModelError, UsageError
from david_cli.evaluation.flow import align_window, has_opencv
from david_cli.evaluation.pairs import (
    MARGIN,
    ClipScore,
    Measured,
    PairedClip,
    Restore,
    measure,
)
from david_cli.evaluation.wfa import wfa
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.guard import GuardEvents
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.window import sliding_windows
from david_cli.network.build import Config, count_gmacs, count_parameters
from david_cli.network.david import DavidConfig
from david_cli.network.shipped import weights_folder
from david_cli.network.weights import SUFFIX, read_info, resolve_weights

ALIGNED = "flow:"
"""Before the name of weights: run them on aligned windows."""
_CHECKPOINT = f".checkpoint{SUFFIX}"  # what a stopped training leaves beside its weights


@dataclass(frozen=True)
class Method:
    """A row of the tables: something that restores clips, and what it cost to get and to run."""

    name: str
    run: Restore
    parameters: int | None = None
    gmacs: float | None = None
    """10^9 multiply-accumulates for one 256x256 frame; of an alignment, nothing is counted."""
    steps: int | None = None
    """Training steps, earlier phases included, where the weights file tells."""
    samples: int | None = None
    """Training samples seen, likewise."""
    stacked: int | None = None
    """Frames that its only branch stacks; None for everything but a single branch."""
    levels: tuple[int, ...] | None = None
    """Blur levels of its last phase of training, none for all there were; None where the weights
    file does not tell."""
    weights: Path | None = None
    """Its file; None for a method without one, and for one on aligned windows."""
    events: GuardEvents | None = None
    """What the guard did while a network ran; it delivers the input where the result is unsound."""


@dataclass(frozen=True)
class Result:
    """A method and its scores, clip by clip."""

    method: Method
    scores: tuple[ClipScore, ...]


def load_methods(
    names: Sequence[str],
    *,
    device: str = "auto",
    precision: str = "fp32",
    engine: str = "auto",
) -> list[Method]:
    """Make methods ready to run, in the order named, so that a mistake shows before the work.

    Raises:
        ModelError: no such method, model, file or folder, or damaged weights.
        UsageError: OpenCV is missing where it is needed; else as `load_deblurrer`.
        DeviceError: as `load_deblurrer`.
    """
    methods = []
    for name in names:
        aligned = name.startswith(ALIGNED)
        if (aligned or name == "wfa") and not has_opencv():
            raise UsageError(
                f"--model {name} needs OpenCV for its optical flow: "
                "pip install 'david-cli[flow]', or leave it out"
            )
        if name == "input":
            methods.append(Method("blurry input", iter))
        elif name == "wfa":
            methods.append(Method("WFA", wfa))
        elif name == "wfa-noalign":
            methods.append(Method("WFA no-align", partial(wfa, align=False)))
        else:
            files = _files(name.removeprefix(ALIGNED))
            load = partial(load_deblurrer, device=device, precision=precision, engine=engine)
            methods += [_of_weights(path, aligned, load) for path in files]
    return _told_apart(methods)


def score_methods(
    methods: Sequence[Method],
    clips: Sequence[PairedClip],
    *,
    margin: int = MARGIN,
    on_clip: Callable[[Method, PairedClip], None] = lambda method, clip: None,
    on_result: Callable[[Method, PairedClip, int, Tensor], None] | None = None,
) -> list[Result]:
    """Run every method once over every clip.

    Args:
        methods: what to run.
        clips: what on.
        margin: unmeasured frames at either end of a clip.
        on_clip: told what is about to run.
        on_result: told the index and the rounded result (3, H, W) of every frame.
    """
    inputs: dict[PairedClip, Measured] = {}
    results = []
    for method in methods:
        scores = []
        for clip in clips:
            on_clip(method, clip)
            if clip not in inputs:
                inputs[clip] = measure(clip, iter, margin=margin)
            after = inputs[clip]
            if method.run is not iter:
                told = None if on_result is None else partial(on_result, method, clip)
                after = measure(clip, method.run, margin=margin, on_result=told)
            scores.append(ClipScore.of(clip, inputs[clip], after))
        results.append(Result(method, tuple(scores)))
    return results


def _files(model: str) -> list[Path]:
    """The weights file of a model, or those of a folder in name order."""
    if not Path(model).is_dir():
        return [resolve_weights(model)]
    found = sorted(Path(model).glob(f"*{SUFFIX}"))
    files = [path for path in found if not path.name.endswith(_CHECKPOINT)]
    if not files:
        raise ModelError(f"{model} holds no weights: expected {SUFFIX} files in it")
    return files


def _of_weights(path: Path, aligned: bool, load: Callable[..., Deblurrer]) -> Method:
    info = read_info(path)
    # whole frames, unless memory runs out: then tiles are halved, and the events tell
    deblurrer = load(path, tile=0)
    # one clip is one scene: without its own cut detection the protocol is exactly as stated
    run = partial(_on_aligned, deblurrer) if aligned else partial(deblurrer.stream, is_cut=None)
    is_shipped = path.parent == weights_folder()
    row = info.name if is_shipped else info.training.get("row") or info.name
    return Method(
        name=f"{row}, flow" if aligned else str(row),
        run=run,
        parameters=count_parameters(info.config),
        gmacs=count_gmacs(info.config),
        steps=_count(info.training, "steps"),
        samples=_count(info.training, "samples"),
        stacked=_stacked(info.config),
        levels=_levels(info.training),
        weights=None if aligned else path,
        events=deblurrer.events,
    )


def _on_aligned(deblurrer: Deblurrer, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Deblur frames whose neighbours are warped onto them first, as DBN's "flow" row does."""
    for window in sliding_windows(frames, radius=deblurrer.frames // 2):
        yield deblurrer(align_window(torch.stack(window), consistent=False)[None])[0]


def _stacked(config: Config) -> int | None:
    single = isinstance(config, DavidConfig) and config.modules == 1 and len(config.branches) == 1
    return config.branches[0] if isinstance(config, DavidConfig) and single else None


def _levels(training: dict[str, Any]) -> tuple[int, ...] | None:
    """Blur levels of the last phase; older files do not list their phases."""
    phases = training.get("phases")
    last = phases[-1] if isinstance(phases, list) and phases else None
    if not isinstance(last, dict) or "levels" not in last:
        return None
    return tuple(last["levels"]) if isinstance(last["levels"], list) else ()


def _count(training: dict[str, Any], key: str) -> int | None:
    """A number of the file's history; older files lack it."""
    value = training.get(key)
    return value if isinstance(value, int) else None


def _told_apart(methods: Sequence[Method]) -> list[Method]:
    """Name methods so that no two rows look alike: by the file's stem, then by a number."""
    names = Counter(method.name for method in methods)
    named = [
        replace(m, name=f"{m.name} ({m.weights.stem})")
        if names[m.name] > 1 and m.weights is not None and m.weights.stem != m.name
        else m
        for m in methods
    ]
    seen: Counter[str] = Counter()
    distinct = []
    for method in named:
        seen[method.name] += 1
        again = seen[method.name]
        distinct.append(replace(method, name=f"{method.name} #{again}") if again > 1 else method)
    return distinct
