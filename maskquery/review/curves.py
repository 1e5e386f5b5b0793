"""The curves of two revisions, as Markdown that GitHub draws. Pure functions on what files held."""

import csv
import io
from bisect import bisect_right
from collections.abc import Callable, Sequence

TABLE_ROWS = 10
POINTS = 41  # of the drawn curve

Rows = list[dict[str, float]]


def section(before: str, now: str, escape: Callable[[str], str]) -> str:
    """Where each column of metrics/curves.csv is highest in both, and a chart of the first column.

    Args:
        before: the file of the base.
        now: the file of the change.
        escape: makes a name harmless in Markdown.

    Returns:
        "" where the curves are equal or one of them has no row.
    """
    old, new = _rows(before), _rows(now)
    if not old or not new or old == new:
        return ""
    columns = [name for name in new[0] if name != "threshold" and name in old[0]]
    lines = [
        "| mean image IoU | highest before | at threshold | highest now | at threshold |",
        "|---|---|---|---|---|",
    ]
    peaks = [(name, _peak(old, name), _peak(new, name)) for name in columns]
    # The mean over the classes first, then the classes that changed most.
    head, *others = peaks
    others.sort(key=lambda peak: -abs(peak[2][0] - peak[1][0]))
    for name, (was, at), (is_now, at_now) in [head, *others[: TABLE_ROWS - 1]]:
        lines.append(f"| {escape(name)} | {was:.3f} | {at:.3f} | {is_now:.3f} | {at_now:.3f} |")
    return "\n".join([*lines, "", *_chart(old, new, columns[0])])


def _rows(text: str) -> Rows:
    return [
        {name: float(value) for name, value in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]


def _peak(rows: Rows, column: str) -> tuple[float, float]:
    """The highest value and its threshold, of equals the highest."""
    return max((row[column], row["threshold"]) for row in rows)


def _chart(old: Rows, new: Rows, column: str) -> list[str]:
    """Both curves in Mermaid, which GitHub draws: the base's line first."""
    everything = [row["threshold"] for rows in (old, new) for row in rows]
    low, high = min(everything), max(everything)
    grid = [low + (high - low) * step / (POINTS - 1) for step in range(POINTS)]
    top = max(row[column] for rows in (old, new) for row in rows)
    return [
        "```mermaid",
        "xychart-beta",
        f'    title "Mean image IoU over the threshold, {column}: first line before, second now"',
        f'    x-axis "threshold" {low:.3f} --> {high:.3f}',
        f'    y-axis "mean image IoU" 0 --> {max(top, 0.01):.3f}',
        f"    line [{_sample(old, column, grid)}]",
        f"    line [{_sample(new, column, grid)}]",
        "```",
    ]


def _sample(rows: Rows, column: str, grid: Sequence[float]) -> str:
    """The value at each threshold of the grid: that of the last row at or below it."""
    known = [row["threshold"] for row in rows]
    places = [max(bisect_right(known, at) - 1, 0) for at in grid]
    return ", ".join(f"{rows[place][column]:.4f}" for place in places)
