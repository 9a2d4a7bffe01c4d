"""What the stand-in catalog remembers: jobs, runs, datasets, and who said what about them when."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

Json = dict[str, Any]  # Any: JSON values

ENDS = {"COMPLETE": "COMPLETED", "FAIL": "FAILED", "ABORT": "ABORTED"}


class Name(NamedTuple):
    """The full name of a job or a dataset."""

    namespace: str
    name: str


class Facets:
    """Facets by key, whoever told them; of two the one of the later event is shown.

    Of two at the same time a real server shows either. Here the older one stays, so that who counts
    on the newer one is found out.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[datetime, Any]] = {}  # Any: a facet

    def tell(self, time: datetime, facets: Json | None) -> None:
        """Add what an event says."""
        for key, value in (facets or {}).items():
            known = self._told.get(key)
            if known is None or time > known[0]:
                self._told[key] = (time, value)

    def shown(self) -> Json:
        """Give each facet as it is shown."""
        return {key: value for key, (_, value) in self._told.items()}


@dataclass(eq=False)
class Version:
    """One version of a dataset; `run_id` is None where no run made it."""

    dataset: Dataset
    uuid: str
    run_id: str | None
    created_at: datetime
    fields: list[Json]
    source: str
    lifecycle: str | None
    facets: Facets = field(default_factory=Facets)


@dataclass(eq=False)
class Dataset:
    """A dataset, its versions in the order of their arrival, and the one that readers get."""

    name: Name
    created_at: datetime
    updated_at: datetime
    source: str = "default"
    description: str | None = None
    deleted: bool = False
    versions: dict[str, Version] = field(default_factory=dict)
    current: Version | None = None


@dataclass(eq=False)
class Run:
    """A run. Its job and its parent are those of the first event that spoke of it."""

    run_id: str
    job: Name
    parent: str | None
    created_at: datetime
    updated_at: datetime
    state: str = "NEW"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    nominal: tuple[str | None, str | None] = (None, None)
    job_version: JobVersion | None = None
    facets: Facets = field(default_factory=Facets)
    job_facets: Facets = field(default_factory=Facets)
    inputs: list[Version] = field(default_factory=list)
    input_facets: dict[Name, Facets] = field(default_factory=dict)
    outputs: list[Version] = field(default_factory=list)
    output_facets: dict[Name, Facets] = field(default_factory=dict)


@dataclass(eq=False)
class JobVersion:
    """A job with certain inputs and outputs, and the last run that had them."""

    uuid: str
    created_at: datetime
    inputs: frozenset[Name]
    outputs: frozenset[Name]
    location: str | None
    latest_run: str | None


@dataclass(eq=False)
class Job:
    """A job. `inputs` and `outputs` are the edges that the graph shows now.

    `broken` breaks every read of it, `breaks_lists` every page of a list that holds it.
    """

    name: Name
    created_at: datetime
    updated_at: datetime
    parent: Name | None = None
    description: str | None = None
    location: str | None = None
    hidden: bool = False
    broken: bool = False
    breaks_lists: bool = False
    runs: list[str] = field(default_factory=list)
    current_run: str | None = None
    versions: dict[str, JobVersion] = field(default_factory=dict)
    current_version: JobVersion | None = None
    inputs: set[Name] = field(default_factory=set)
    outputs: set[Name] = field(default_factory=set)


def moment(text: str) -> datetime:
    """Read a time; one without a zone is UTC."""
    read = datetime.fromisoformat(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def spelled(time: datetime | None) -> str | None:
    """Spell a time as Java does: no fraction where there is none, else three or six digits."""
    if time is None:
        return None
    digits = "seconds" if not time.microsecond else "microseconds"
    if time.microsecond and time.microsecond % 1000 == 0:
        digits = "milliseconds"
    return f"{time.replace(tzinfo=None).isoformat(timespec=digits)}Z"


def uuid_of(*parts: object) -> str:
    """Make the id of what is the same whenever these parts are."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
