"""One item in, one window of neighbours out: what the network sees around each frame.

Edges are reflected, and a scene cut is an edge:

    a b c d ...  ->  (d c b [a] b c d)  (c b a [b] c d e)  ...

Where a scene is shorter than a window, the reflection goes on: two frames a b give the window
(b a b [a] b a b), and one frame is repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def sliding_windows(
    items: Iterable[T],
    *,
    radius: int = 3,
    is_cut: Callable[[T, T], bool] | None = None,
) -> Iterator[tuple[T, ...]]:
    """Give each item its window of ``2 * radius + 1`` neighbours, lazily and in order.

    A window is yielded as soon as its right side is known: ``radius`` items later, or when the
    scene ends. At most ``2 * radius + 1`` items are held.

    Args:
        items: anything in temporal order.
        radius: neighbours on each side of the centre.
        is_cut: whether a new scene starts between two neighbouring items; no window crosses it.
    """
    scene: deque[T] = deque()  # the latest items of the current scene, enough for its next window
    for item in items:
        if scene and is_cut is not None and is_cut(scene[-1], item):
            yield from _last_windows(scene, radius)
            scene.clear()
        scene.append(item)
        if len(scene) > radius:
            yield _window(scene, len(scene) - 1 - radius, radius)
        if len(scene) > 2 * radius:
            scene.popleft()
    yield from _last_windows(scene, radius)


def _last_windows(scene: Sequence[T], radius: int) -> Iterator[tuple[T, ...]]:
    """The windows of those items whose right side reaches over the end of the scene."""
    for centre in range(max(0, len(scene) - radius), len(scene)):
        yield _window(scene, centre, radius)


def _window(scene: Sequence[T], centre: int, radius: int) -> tuple[T, ...]:
    return tuple(
        scene[_reflected(i, len(scene))] for i in range(centre - radius, centre + radius + 1)
    )


def _reflected(index: int, length: int) -> int:
    """Fold any index into ``range(length)`` at the first and last item, which are not doubled."""
    if length == 1:
        return 0
    period = 2 * (length - 1)
    index %= period
    return min(index, period - index)
