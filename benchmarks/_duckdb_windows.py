"""What had happened and arrived before a day, in DuckDB's SQL, and sums of it over the windows before that day."""

from __future__ import annotations

from collections.abc import Mapping

from _peer import WINDOWS, YEAR, Task


def known(task: Task, happened: str) -> str:
    """Whether something had happened and arrived before the day."""
    return f"greatest({happened}, arrived_at) < TIMESTAMP '{task.as_of}'"


def in_window(task: Task, happened: str, days: int) -> str:
    """Whether it happened on one of the last so many days."""
    return f"{happened} >= TIMESTAMP '{task.as_of}' - INTERVAL {days} DAY"


def sums(task: Task, happened: str, values: Mapping[str, str]) -> str:
    """Sums of each over its windows, called <name>_<days>d."""
    return ", ".join(
        f"coalesce(sum({value}) FILTER ({in_window(task, happened, days)}), 0)::BIGINT AS {name}_{days}d"
        for name, value in values.items()
        for days in WINDOWS.get(name, (YEAR,))
    )


def in_app(task: Task) -> str:
    """Whether `channel` is the shop's app; false where it is not known."""
    names = ", ".join(f"'{name}'" for name in task.app_channels)
    return f"coalesce(lower(channel) IN ({names}), false)"
