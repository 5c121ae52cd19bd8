"""What goes through the network at once."""

from __future__ import annotations

import pytest
import torch

from david_cli.inference.portions import Portions

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "tiles"), [((720, 1280), 1), ((512, 2048), 1), ((1024, 1024), 1), ((1080, 1920), 4)]
)
def test_what_memory_holds_goes_whole_whatever_its_shape(size: tuple[int, int], tiles: int) -> None:
    assert len(Portions(CPU, 1024, 112, 16, by_area=True).grid(*size)) == tiles


def test_an_edge_that_was_asked_for_is_kept_to() -> None:
    grid = Portions(CPU, 1024, 112, 16).grid(720, 1280)
    assert len(grid) == 2
    assert max(span.stop - span.start for span in (*grid.rows, *grid.columns)) <= 1024


@pytest.mark.parametrize("by_area", [False, True])
def test_whole_frames_are_whole(by_area: bool) -> None:
    assert len(Portions(CPU, 0, 112, 16, by_area=by_area).grid(3000, 5000)) == 1
