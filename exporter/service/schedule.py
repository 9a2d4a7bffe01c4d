"""A schedule of the settings as APScheduler's triggers."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from exporter.config.cron import cron_fields

if TYPE_CHECKING:
    from datetime import datetime

    from apscheduler.triggers.base import BaseTrigger

    from exporter.config import ScheduleSettings


def trigger_of(schedule: ScheduleSettings) -> BaseTrigger:
    """Give the trigger of a schedule: its cron expression, else its interval."""
    if schedule.cron is not None:
        return CronTrigger(**cron_fields(schedule.cron), timezone=schedule.timezone)
    seconds = schedule.every.total_seconds() if schedule.every is not None else 60.0
    return IntervalTrigger(seconds=max(1, int(seconds)), timezone=UTC)


def first_run(schedule: ScheduleSettings, now: datetime) -> datetime | None:
    """Give the first run: an interval begins now, a cron expression names its own moments.

    None for an expression that never comes true, such as the 30th of February.
    """
    if schedule.cron is None:
        return now
    moment: datetime | None = trigger_of(schedule).get_next_fire_time(None, now)
    return moment


def next_runs(schedule: ScheduleSettings, now: datetime, count: int) -> list[datetime]:
    """Give the first runs of a service that starts now."""
    trigger, moments = trigger_of(schedule), [first_run(schedule, now)]
    while (last := moments[-1]) is not None and len(moments) < count:
        moments.append(trigger.get_next_fire_time(last, last))
    return [moment for moment in moments if moment is not None]


def schedule_text(schedule: ScheduleSettings) -> str:
    """Say a schedule in words."""
    if schedule.cron is not None:
        return f"cron {schedule.cron} ({schedule.timezone})"
    return f"every {_span_text(schedule.every.total_seconds() if schedule.every else 60.0)}"


def _span_text(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds > size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
