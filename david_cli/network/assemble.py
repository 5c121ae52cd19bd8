"""Larger models from trained parts: one good branch can be the start of all twelve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from david_cli.network.david import Attention, Branch, David, DavidConfig, InternalAttention
from david_cli.network.widen import widen

SHARED = ("frames", "unshuffle", "block", "down", "skip", "leak")
"""Settings that parts and whole must have in common."""
ATTENTION = ("modules", "attention_widths", "softmax")
"""Settings that must agree, too, for external attention to be taken over."""
MODULE = ("branches", "attention_widths", "softmax")
"""Settings that must agree, too, for a module to be copied as a whole."""


def assemble(sources: Sequence[David], config: DavidConfig) -> David:
    """A model of any configuration that starts from trained parts.

    Args:
        sources: one network that starts every module; or one per module; or, for a single module,
            one per branch, each of as many frames (phase 1 of section 4.1: each branch alone).
        config: what to build; equal to the sources in all but branches, modules and attention, and
            in widths, which may be larger: narrower sources are widened first.

    Returns:
        A model whose modules are copies of trained ones with the same branches. Other modules start
        from the widest branch, each of their first convolutions sliced to the central frames that
        it sees. Attention starts from that branch's features, where it is as wide: even over parts
        that are trained, and on the last one over copies and slices of one branch, with which the
        model then agrees at step 0. External attention that the first source has is taken over.

    Raises:
        ValueError: the configurations do not fit each other.
    """
    if any(getattr(s.config, name) != getattr(config, name) for s in sources for name in SHARED):
        raise ValueError("the trained parts and the model to assemble differ in layout")
    if max(config.branches) != config.branches[-1]:
        raise ValueError("the widest branch must be the last one, where the attention starts")
    sources = [_as_wide(source, config) for source in sources]
    model = David(config)
    if config.modules == 1 and len(sources) == len(config.branches) > 1:
        _fill_by_branch(model.levels()[0], sources)
        return model
    if len(sources) not in (1, config.modules):
        raise ValueError(f"give one trained network, or {config.modules}, one per module")
    for n, module in enumerate(model.levels()):
        source = sources[n % len(sources)]
        trained = source.levels()[n % source.config.modules]
        whole = all(getattr(source.config, name) == getattr(config, name) for name in MODULE)
        _fill_module(module, trained, whole)
    if model.external is not None:
        _start_external(model.external, sources, config)
    return model


def slice_branch(state: dict[str, Tensor], trained: int, wanted: int) -> dict[str, Tensor]:
    """A branch's weights cut from ``trained`` frames to the ``wanted`` central ones.

    Raises:
        ValueError: more frames are wanted than it was trained on.
    """
    if wanted > trained:
        raise ValueError(f"a branch of {trained} frames cannot start one of {wanted}")
    first = "unet.encoder.0.enter.weight"
    out, stacked = state[first].shape[:2]
    weight = state[first].reshape(out, trained, stacked // trained, 3, 3)
    start = (trained - wanted) // 2
    return {**state, first: weight[:, start : start + wanted].flatten(1, 2)}


def _as_wide(source: David, config: DavidConfig) -> David:
    """``source`` with branches as wide as those to assemble; its attention stays as it is."""
    if source.config.widths == config.widths:
        return source
    return widen(source, replace(source.config, widths=config.widths))


def _fill_by_branch(module: InternalAttention, sources: Sequence[David]) -> None:
    for target, source in zip(module.restorers(), sources, strict=True):
        trained = source.levels()[-1].restorers()[-1]
        if trained.frames != target.frames:
            raise ValueError(
                f"a branch of {target.frames} frames cannot start from one of {trained.frames}"
            )
        target.load_state_dict(trained.state_dict())
    assert module.attention is not None
    module.attention.start_from(module.restorers()[-1])
    module.attention.start_even()


def _fill_module(module: InternalAttention, trained: InternalAttention, whole: bool) -> None:
    if whole:
        module.load_state_dict(trained.state_dict())
        return
    widest: Branch = trained.restorers()[-1]
    for target in module.restorers():
        target.load_state_dict(slice_branch(widest.state_dict(), widest.frames, target.frames))
    if module.attention is not None:
        module.attention.start_from(widest)


def _start_external(external: Attention, sources: Sequence[David], config: DavidConfig) -> None:
    given = sources[0]
    if given.external is not None:
        if any(getattr(given.config, name) != getattr(config, name) for name in ATTENTION):
            raise ValueError(
                "the external attention to take over differs in width, maps or softmax"
            )
        external.load_state_dict(given.external.state_dict())
        return
    # of the heaviest blur: its features have to follow motion
    external.start_from(sources[-1].levels()[-1].restorers()[-1])
    if len(sources) > 1:
        external.start_even()
