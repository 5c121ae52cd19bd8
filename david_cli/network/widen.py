"""A trained network made wider without a change in what it gives.

New channels start with random weights of their own, and whatever follows starts by ignoring them.
That the function stays is the aim of Net2Net, too (Chen, Goodfellow and Shlens, "Net2Net:
Accelerating Learning via Knowledge Transfer", ICLR 2016), which splits trained channels for it.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from david_cli.network.david import David, DavidConfig

WIDTHS = ("widths", "attention_widths")
"""Settings in which the wider network may differ."""


def widen(trained: David, config: DavidConfig) -> David:
    """The same function in a network of more channels.

    Args:
        trained: the narrower network.
        config: as wide or wider at every scale, else equal. Random weights are drawn for it.

    Returns:
        A network with ``trained``'s output, up to the order of sums.

    Raises:
        ValueError: ``config`` is narrower somewhere, or differs in more than widths, or
            concatenates its skips, which mixes old and new channels.
    """
    wanted = {name: getattr(config, name) for name in WIDTHS}
    if replace(trained.config, **wanted) != config:
        raise ValueError("a wider network must equal the trained one in all but its widths")
    for name in WIDTHS:
        old, new = getattr(trained.config, name), getattr(config, name)
        if len(old) != len(new) or any(a > b for a, b in zip(old, new, strict=True)):
            raise ValueError(f"{name} {list(old)} cannot be widened to {list(new)}")
    if config.skip != "add":
        raise ValueError("only networks that add their skips can be widened")
    wide = David(config)
    state = trained.state_dict()
    wide.load_state_dict(
        {name: _grown(state[name], new) for name, new in wide.state_dict().items()}
    )
    return wide


def _grown(old: Tensor, new: Tensor) -> Tensor:
    """A kernel or bias: ``old`` in the corner, ``new`` in the rows below, zeros to its right."""
    grown = new.clone()
    rows = old.shape[0]
    if old.ndim > 1:  # what comes from new channels does not count in old ones
        grown[:rows] = 0
        grown[:rows, : old.shape[1]] = old
    else:
        grown[:rows] = old
    return grown
