"""The paper's tables, and ours, from the scores of methods on paired clips.

    levels   one table a method: gain per clip and blur level, with the input's PSNR
    ssim     the same of SSIM
    gains    rows are methods, columns the mean gain at each level: what compares weights
    1        Table 1: rows are methods, columns the videos and their average, all levels together
    2        Table 2: one single branch per number of stacked frames, trained and run on level 11
    3        Table 3: rows are methods, the average at level 7, which is how DVD was made

PSNR is averaged as the paper says (section 4.2): over the frames of a video, whatever their levels,
then over videos. Clips whose level is not known belong to every table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from david_cli.errors import InputError, UsageError
from david_cli.evaluation.methods import Method, Result
from david_cli.evaluation.pairs import ClipScore, PairedClip, by_level, gain_per_level
from david_cli.evaluation.render import Cell, Column, Table

TableName = Literal["levels", "ssim", "gains", "1", "2", "3"]
TABLES: tuple[TableName, ...] = get_args(TableName)

PER_METHOD: tuple[TableName, ...] = ("levels", "ssim")
"""Tables that hold the scores themselves, one for each method."""
ONLY_LEVEL: dict[TableName, int] = {"2": 11, "3": 7}
"""Tables of the paper that hold one level."""
LIGHT = 3
"""The blur level that must be left alone; those above it are heavy."""


class Quality(NamedTuple):
    """Means of PSNR in dB, SSIM, and PSNR won over the blurry input in dB."""

    psnr: float
    ssim: float
    gain: float


COSTS = (
    Column("M parameters", form="{:.2f}"),
    Column("GMACs", form="{:.2f}"),
    Column("steps", form="{:,}"),
    Column("samples", form="{:,}"),
    Column("seconds per frame", form="{:.3f}"),
)
GAIN = Column("gain in dB", form="{:+.2f}")


def tables_of(results: Sequence[Result], name: TableName) -> list[Table]:
    """The table of a name; of ``levels`` and ``ssim``, one for each method."""
    if name in PER_METHOD:
        return [(_levels if name == "levels" else _ssim)(result) for result in results]
    overall = {"gains": _gains, "1": _table_1, "2": _table_2, "3": _table_3}
    return [overall[name](results)]


def needed_levels(
    names: Iterable[TableName], levels: Sequence[int] | None = None
) -> list[int] | None:
    """The blur levels to run for some tables, within those asked for; None for all there are.

    Raises:
        UsageError: the levels asked for leave a table empty.
    """
    wanted: set[int] = set()
    for name in names:
        only = ONLY_LEVEL.get(name)
        if only is None:
            return None if levels is None else list(levels)
        if levels is not None and only not in levels:
            raise UsageError(
                f"--table {name} is of level {only}, which --levels leaves out: add it, or drop "
                "one of the two options"
            )
        wanted.add(only)
    return sorted(wanted)


def check_tables(
    names: Iterable[TableName], methods: Sequence[Method], clips: Sequence[PairedClip]
) -> None:
    """Refuse, before the work, tables that would be empty.

    Raises:
        InputError: no clip of the table's level.
        UsageError: no single branch for Table 2.
    """
    for name in names:
        only = ONLY_LEVEL.get(name)
        if only is not None and not any(clip.level in (None, only) for clip in clips):
            raise InputError(f"--table {name} is of level {only}, and no clip is: add such pairs")
        if name == "2" and not any(map(_in_table_2, methods)):
            raise UsageError(
                "--table 2 compares single branches (one module, one branch) trained on level 11, "
                "and no --model is one"
            )


def video_means(scores: Iterable[ClipScore]) -> dict[str, Quality]:
    """Means over all measured frames of each video, its levels together, by name."""
    videos: dict[str, list[ClipScore]] = {}
    for score in scores:
        videos.setdefault(score.clip, []).append(score)
    return {name: _mean(parts) for name, parts in videos.items()}


def average(scores: Iterable[ClipScore]) -> Quality:
    """The mean over videos of the means over their frames."""
    means = list(video_means(scores).values())
    return Quality(*(sum(values) / len(means) for values in zip(*means, strict=True)))


def scores_table(results: Iterable[Result]) -> Table:
    """Every score in a row of its own, for programs."""
    names = ("input_psnr", "psnr", "gain", "input_ssim", "ssim", "seconds_per_frame")
    columns = tuple(Column(name) for name in ("method", "clip", "level", "frames", *names))
    rows = (
        (
            *(result.method.name, s.clip, s.level, s.frames),
            *(s.input_psnr, s.psnr, s.gain, s.input_ssim, s.ssim, s.seconds),
        )
        for result in results
        for s in result.scores
    )
    return Table(columns, tuple(rows))


def methods_table(results: Iterable[Result]) -> Table:
    """What each method cost, and its averages over everything it ran on, for programs."""
    columns = ("name", "parameters", "gmacs", "steps", "samples", "stacked_frames")
    means = ("seconds_per_frame", "psnr", "ssim", "gain")
    rows = []
    for r in results:
        m = r.method
        costs = (m.parameters, m.gmacs, m.steps, m.samples, m.stacked)
        rows.append((m.name, *costs, _seconds(r.scores), *average(r.scores)))
    return Table(tuple(map(Column, (*columns, *means))), tuple(rows))


def level_name(level: int | None) -> str:
    """A level as a head of a column; ``all`` where it is not known."""
    return "all" if level is None else f"level {level}"


def _mean(scores: Sequence[ClipScore]) -> Quality:
    """Over frames: each score counts as often as it has frames."""
    frames = sum(s.frames for s in scores)
    sums = ((s.psnr * s.frames, s.ssim * s.frames, s.gain * s.frames) for s in scores)
    return Quality(*(sum(values) / frames for values in zip(*sums, strict=True)))


def _levels(result: Result) -> Table:
    gains = gain_per_level(result.scores)
    heavy, light = _heavy(gains), [s for s in result.scores if s.level == LIGHT]
    notes = []
    if heavy:
        notes.append(f"mean of the levels above {LIGHT}: {sum(heavy) / len(heavy):+.2f} dB")
    if light:
        notes.append(f"light blur left alone: {_verdict(light)}")
    notes.append(f"seconds per frame: {_seconds(result.scores):.3f}")
    title = Column(f"{result.method.name}: gain in dB (input)")
    heads = _paired(map(level_name, gains), ("gain", "{:+.2f}"), ("input", "({:.2f})"))
    rows = _by_clip(result.scores, list(gains), lambda s: (s.gain, s.input_psnr))
    mean = ("mean", *(cell for gain in gains.values() for cell in (gain, None)))
    return Table((title, *heads), (*rows, mean), notes=tuple(notes))


def _ssim(result: Result) -> Table:
    levels = list(gain_per_level(result.scores))
    title = Column(f"{result.method.name}: SSIM (input)")
    heads = _paired(map(level_name, levels), ("SSIM", "{:.4f}"), ("input", "({:.4f})"))
    rows = _by_clip(result.scores, levels, lambda s: (s.ssim, s.input_ssim))
    at = [[s for s in result.scores if s.level == level] for level in levels]
    means = (
        sum(values) / len(values)
        for scores in at
        for values in ([s.ssim for s in scores], [s.input_ssim for s in scores])
    )
    return Table((title, *heads), (*rows, ("mean", *means)))


def _by_clip(
    scores: Sequence[ClipScore],
    levels: Sequence[int | None],
    pick: Callable[[ClipScore], tuple[float, float]],
) -> list[tuple[Cell, ...]]:
    """A row per clip with two values per level; empty where a clip lacks a level."""
    by_place = {(s.clip, s.level): pick(s) for s in scores}
    nothing = (None, None)
    return [
        (clip, *(cell for level in levels for cell in by_place.get((clip, level), nothing)))
        for clip in dict.fromkeys(s.clip for s in scores)
    ]


def _gains(results: Sequence[Result]) -> Table:
    levels = list(gain_per_level(results[0].scores))
    heavy = [level for level in levels if level is not None and level > LIGHT]
    columns = [Column("method"), *(Column(level_name(n), form="{:+.2f}") for n in levels)]
    if len(heavy) > 1:
        columns.append(Column(f"mean of {heavy[0]}-{heavy[-1]}", form="{:+.2f}"))
    if LIGHT in levels:
        columns.append(Column("light blur left alone"))
    rows = []
    for result in results:
        gains = gain_per_level(result.scores)
        row: list[Cell] = [result.method.name, *gains.values()]
        if len(heavy) > 1:
            row.append(sum(_heavy(gains)) / len(heavy))
        if LIGHT in levels:
            row.append(_verdict([s for s in result.scores if s.level == LIGHT]))
        rows.append((*row, *_costs(result)))
    caption = f"Mean gain in dB over {_count(results[0].scores, 'clip')}."
    return Table((*columns, *COSTS), tuple(rows), caption)


def _table_1(results: Sequence[Result]) -> Table:
    videos = video_means(results[0].scores)
    columns = [Column("method"), *_quality_columns(*videos, "average")]
    rows = []
    for result in results:
        means = [*video_means(result.scores).values(), average(result.scores)]
        qualities = (cell for q in means for cell in (q.psnr, q.ssim))
        rows.append((result.method.name, *qualities, *_costs(result)))
    return Table((*columns, *COSTS), tuple(rows), _caption("Table 1", results[0].scores))


def _table_2(results: Sequence[Result]) -> Table:
    singles = [r for r in map(_at_level("2"), results) if _in_table_2(r.method)]
    singles.sort(key=lambda r: r.method.stacked or 0)
    columns = (
        Column("stacked frames", form="{:d}"),
        Column("method"),
        *_quality_columns("average"),
    )
    rows = tuple((r.method.stacked, r.method.name, *_average_cells(r)) for r in singles)
    unknown = [r.method.name for r in singles if r.method.levels is None]
    notes = (
        [f"trained on levels that the file does not tell: {', '.join(unknown)}"] if unknown else []
    )
    caption = _caption("Table 2", singles[0].scores)
    return Table((*columns, GAIN, *COSTS), rows, caption, tuple(notes))


def _table_3(results: Sequence[Result]) -> Table:
    chosen = list(map(_at_level("3"), results))
    columns = (Column("method"), *_quality_columns("average"))
    rows = tuple((r.method.name, *_average_cells(r)) for r in chosen)
    return Table((*columns, GAIN, *COSTS), rows, _caption("Table 3", chosen[0].scores))


def _in_table_2(method: Method) -> bool:
    """Whether it is a single branch of Table 2; one whose training is not known may be."""
    return method.stacked is not None and method.levels in (None, (ONLY_LEVEL["2"],))


def _at_level(name: TableName) -> Callable[[Result], Result]:
    """What keeps the scores of a table's one level."""
    kept = (None, ONLY_LEVEL[name])
    return lambda r: Result(r.method, tuple(s for s in r.scores if s.level in kept))


def _quality_columns(*heads: str) -> list[Column]:
    return _paired(heads, ("PSNR", "{:.2f}"), ("SSIM", "({:.4f})"))


def _paired(heads: Iterable[str], first: tuple[str, str], second: tuple[str, str]) -> list[Column]:
    """Two columns under each head, given by part and form."""
    return [Column(head, *which) for head in heads for which in (first, second)]


def _average_cells(result: Result) -> tuple[Cell, ...]:
    """PSNR, SSIM, gain and costs of a method."""
    return (*average(result.scores), *_costs(result))


def _costs(result: Result) -> tuple[Cell, ...]:
    m = result.method
    millions = None if m.parameters is None else m.parameters / 1e6
    return (millions, m.gmacs, m.steps, m.samples, _seconds(result.scores))


def _seconds(scores: Sequence[ClipScore]) -> float:
    return sum(s.seconds * s.frames for s in scores) / sum(s.frames for s in scores)


def _heavy(gains: dict[int | None, float]) -> list[float]:
    """The gains at the levels above the light one."""
    return [gain for level, gain in gains.items() if level is not None and level > LIGHT]


def _verdict(light: Iterable[ClipScore]) -> str:
    broken = [s.clip for s in light if not s.light_blur_left_alone]
    return f"NOT on {', '.join(broken)}" if broken else "yes"


def _caption(title: str, scores: Sequence[ClipScore]) -> str:
    levels = sorted({s.level for s in scores}, key=by_level)
    known = ", ".join(str(level) for level in levels if level is not None)
    which = [f"level {known}"] * bool(known) + ["unknown level"] * (None in levels)
    frames = sum(s.frames for s in scores)
    return (
        f"{title}: PSNR in dB (SSIM), mean over the frames of a video, then over videos; "
        f"{_count(scores, 'video')}, {frames} frames of {' and of '.join(which)}."
    )


def _count(scores: Sequence[ClipScore], noun: str) -> str:
    videos = len({s.clip for s in scores})
    return f"1 {noun}" if videos == 1 else f"{videos} {noun}s"
