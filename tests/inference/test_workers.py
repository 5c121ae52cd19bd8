"""Several frames at once: order, bounds, errors, and threads given back."""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Iterator
from itertools import chain, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from david_cli.inference.workers import (
    BATCH_PIXELS,
    Crew,
    at_work,
    batches,
    crew_size,
    few_threads,
    map_ahead,
)

CPU = torch.device("cpu")


def counted(taken: list[int], n: int) -> Iterator[int]:
    for i in range(n):
        taken.append(i)
        yield i


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_come_in_order_though_work_ends_in_any(workers: int) -> None:
    def slow_if_even(i: int) -> int:
        time.sleep(0.004 * (i % 2 == 0))
        return i * i

    with at_work(Crew(workers, 1)) as pool:
        assert list(map_ahead(pool, slow_if_even, range(30), workers)) == [i * i for i in range(30)]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_no_more_is_taken_than_allowed(ahead: int) -> None:
    taken: list[int] = []
    with at_work(Crew(2, 1)) as pool:
        for i in map_ahead(pool, lambda i: i, counted(taken, 20), ahead):
            assert len(taken) <= i + 1 + ahead


def test_workers_do_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)
    with at_work(Crew(2, 1)) as pool:
        assert len(list(map_ahead(pool, lambda _: meeting.wait(), range(4), 2))) == 4


def test_an_error_comes_out_where_its_result_would() -> None:
    def work(i: int) -> int:
        return 12 // (3 - i)

    with pytest.raises(ZeroDivisionError), at_work(Crew(2, 1)) as pool:
        results = map_ahead(pool, work, range(10), 2)
        assert [next(results) for _ in range(3)] == [4, 6, 12]
        next(results)


def test_threads_are_those_of_the_crew_and_then_as_before() -> None:
    before = torch.get_num_threads()
    crew = Crew(2, 1)
    with few_threads(crew), at_work(crew) as pool:
        assert torch.get_num_threads() == 1
        assert {pool.submit(torch.get_num_threads).result() for _ in range(4)} == {1}
    assert torch.get_num_threads() == before


def test_crews() -> None:
    crew = crew_size(CPU)
    assert 1 <= crew.workers <= 4
    assert crew.threads is not None
    assert crew.workers * crew.threads <= max(1, torch.get_num_threads())
    assert crew.batch == 1
    assert crew_size(torch.device("cuda")) == crew_size(torch.device("mps")) == Crew(1, None, 8)


@pytest.mark.parametrize(
    ("size", "workers"), [((640, 360), 4), ((1920, 1080), 4), ((2560, 1440), 2), ((3840, 2160), 1)]
)
def test_large_frames_are_fewer_at_once(size: tuple[int, int], workers: int) -> None:
    assert Crew(4, 2).for_frames(*size) == Crew(workers, 8 // workers)
    assert Crew(1, None).for_frames(*size) == Crew(1, None)


@pytest.mark.parametrize(
    ("size", "batch"),
    [((1, 1), 8), ((320, 192), 8), ((640, 360), 4), ((854, 480), 2), ((1280, 720), 1)],
)
def test_small_frames_go_together_on_a_gpu(size: tuple[int, int], batch: int) -> None:
    crew = crew_size(torch.device("cuda")).for_frames(*size)
    assert crew == Crew(1, None, batch)
    assert batch == 1 or batch * size[0] * size[1] <= BATCH_PIXELS
    assert Crew(4, 1).for_frames(*size).batch == 1


@given(st.lists(st.integers(0, 2), max_size=12), st.integers(1, 4))
def test_batches_keep_order_and_are_as_large_as_they_may(items: list[int], most: int) -> None:
    found = list(batches(items, most, operator.eq))
    assert list(chain.from_iterable(found)) == items
    assert all(len(batch) <= most and len(set(batch)) == 1 for batch in found)
    for batch, after in pairwise(found):
        assert len(batch) == most or batch[-1] != after[0]
    assert [len(batch) for batch in batches(items, most)][:-1] == [most] * (
        (len(items) - 1) // most
    )


@pytest.mark.parametrize("most", [1, 3])
def test_a_full_batch_does_not_wait_for_more(most: int) -> None:
    taken: list[int] = []
    for number, batch in enumerate(batches(counted(taken, 7), most), 1):
        assert len(taken) == min(7, number * most) == batch[-1] + 1


def test_a_worker_with_all_the_cores_is_not_disturbed() -> None:
    assert (Crew(1, 8).ahead, Crew(4, 2).ahead, Crew(1, None).ahead) == (0, 4, 1)
