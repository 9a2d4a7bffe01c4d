"""Cron expressions as crontab(5) means them, spelled so that a scheduler cannot mistake them."""

from __future__ import annotations

import re

_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    (
        "month",
        1,
        12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    ("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")
_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def cron_problem(text: str) -> str:
    """Say what is wrong with a cron expression and what to write; '' if nothing is."""
    try:
        cron_values(text)
    except ValueError as error:
        return str(error)
    return ""


def cron_values(text: str) -> tuple[tuple[int, ...], ...]:
    """Give the values of minute, hour, day of month, month and day of week, each sorted.

    Units: day of week counts from Sunday 0 to Saturday 6 as in crontab, whatever the scheduler
    counts from.
    Raises: ValueError for what is no expression, and where day of month and day of week are both
    restricted: crontab means either, schedulers mean both, so nobody could rely on it.
    """
    fields = _SHORTHANDS.get(text.strip().lower(), text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f'a cron expression has 5 fields, this has {len(fields)}: "*/5 * * * *" is every 5 min'
        )
    values = tuple(_field(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True))
    if len(values[2]) < 31 and len(values[4]) < 7:
        raise ValueError("restrict the day of month or the day of week, not both")
    return values


def cron_fields(text: str) -> dict[str, str]:
    """Give APScheduler's fields for a cron expression, its days of the week by name.

    Source: APScheduler counts the days of the week from Monday 0,
    https://apscheduler.readthedocs.io/en/3.x/modules/triggers/cron.html
    """
    minute, hour, day, month, weekday = cron_values(text)
    names = _FIELDS[4][3]

    def spelled(values: tuple[int, ...], size: int) -> str:
        return "*" if len(values) == size else ",".join(map(str, values))

    return {
        "minute": spelled(minute, 60),
        "hour": spelled(hour, 24),
        "day": spelled(day, 31),
        "month": spelled(month, 12),
        "day_of_week": "*" if len(weekday) == 7 else ",".join(names[day] for day in weekday),
    }


def _field(text: str, name: str, low: int, high: int, words: tuple[str, ...]) -> tuple[int, ...]:
    found: set[int] = set()
    highest = high if name != "day of week" else 6  # 7 is Sunday again
    for part in text.lower().split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no {name}")
        first, last, step = match["first"], match["last"], int(match["step"] or 1)
        if first == "*":
            if last is not None or step < 1:
                raise ValueError(f"{part!r} is no {name}")
            begin, end = low, highest
        else:
            begin = _number(first, name, low, high, words)
            open_end = highest if match["step"] else begin
            end = _number(last, name, low, high, words) if last else open_end
            if end < begin or step < 1:
                raise ValueError(f"{part!r} is no {name}: it ends before it begins")
        found.update(range(begin, end + 1, step))
    if name == "day of week":
        found = {day % 7 for day in found}
    return tuple(sorted(found))


def _number(text: str, name: str, low: int, high: int, words: tuple[str, ...]) -> int:
    if text in words:
        return words.index(text) + low
    if text.isdecimal() and low <= int(text) <= high:
        return int(text)
    raise ValueError(f"{text!r} is no {name}: it goes from {low} to {high}")
