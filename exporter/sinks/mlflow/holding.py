"""What MLflow holds of one unit beside its plan: which run stands for what, and what it lacks.

It only looks: the reconciler writes what differs, `verify` tells it.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from exporter.errors import StoreUnreadable
from exporter.mapping.mlflow import written_keys
from exporter.mapping.records_text import RECORD_TAG, SEAL_TAG, WRITING_TAG, decode_record
from exporter.sinks.mlflow.answers import MissingResource
from exporter.sinks.mlflow.tags import SELF_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.mlflow import Home, UnitPlan, WrittenKeys
    from exporter.sinks.mlflow.bindings import FoundRun


class Holding:
    """The parent run chosen for a unit, and what its record says was written.

    `get_file` reads an artifact of an MLflow run by its root and path.
    """

    def __init__(
        self,
        plan: UnitPlan,
        parent: FoundRun | None,
        get_file: Callable[[str, str], bytes],
    ) -> None:
        self._plan = plan
        self._parent = parent
        self._get_file = get_file

    def keys_of(self, key: str) -> WrittenKeys | None:
        """Give what we wrote into a run; None where that is not known: all counts as ours."""
        return None if self._written is None else self._written.get(key)

    def wanted_of_parent(self, seal: Mapping[str, str]) -> dict[str, str]:
        """Give all the tags the parent is to carry; `seal` are those that say it is whole."""
        wanted = {**self._plan.parent.tags, **seal}
        parent = self._parent
        if parent is None:
            return wanted
        if parent.tags.get(WRITING_TAG):
            wanted[WRITING_TAG] = ""
        spelled = {k: v for k, v in parent.tags.items() if is_record(k)}
        same = spelled != self._plan.record and digest_of(parent) == self._plan.digest
        if same and self.record is not None:
            # The same record, compressed by another zlib.
            wanted = {k: v for k, v in wanted.items() if not is_record(k)} | spelled
            wanted[SEAL_TAG] = parent.tags[SEAL_TAG]
        return wanted

    @property
    def last_whole(self) -> tuple[RunSnapshot, dict[str, Home]] | None:
        """The record of the last whole version; None while a change is under way."""
        if self._parent is None or self._parent.tags.get(WRITING_TAG):
            return None
        return self.record

    @cached_property
    def record(self) -> tuple[RunSnapshot, dict[str, Home]] | None:
        """The record that the parent holds; None where it has none that is whole."""
        try:
            return self.read_record()
        except (StoreUnreadable, MissingResource):
            return None

    def read_record(self) -> tuple[RunSnapshot, dict[str, Home]]:
        """Read the record. Raises: StoreUnreadable, MissingResource."""
        if self._parent is None:
            raise StoreUnreadable("There is no parent run.")
        fetch = partial(self._get_file, self._parent.artifact_uri)
        return decode_record(self._parent.tags, fetch)

    @cached_property
    def _written(self) -> dict[str, WrittenKeys] | None:
        return None if self.last_whole is None else written_keys(self.last_whole[0])


def rank(run: FoundRun, plan: UnitPlan, bound: Mapping[str, str]) -> tuple[bool, bool, bool, str]:
    """Order duplicates: whole by this plan, bound, sealed, smallest id."""
    digest = digest_of(run)
    return (digest != plan.digest, bound.get(run.key) != run.run_id, not digest, run.run_id)


def by_key(runs: Iterable[FoundRun]) -> dict[str, list[FoundRun]]:
    """Group runs by the key of what they stand for; several are duplicates."""
    groups: dict[str, list[FoundRun]] = {}
    for run in runs:
        groups.setdefault(run.key, []).append(run)
    return groups


def digest_of(run: FoundRun) -> str:
    """Give the digest in a run's seal, '' where it has none."""
    return run.tags.get(SEAL_TAG, "").partition(":")[0]


def is_record(key: str) -> bool:
    """Tell whether a tag holds a part of the record."""
    return key == RECORD_TAG or key.startswith(f"{RECORD_TAG}.")


def seal_tags(plan: UnitPlan, key: str, run_id: str, pages: Mapping[str, str]) -> dict[str, str]:
    """Give the tags that say that a run is whole; `pages` is the tag of those that are stored."""
    if key == plan.unit:
        return {**plan.record, **pages, SELF_TAG: run_id, SEAL_TAG: plan.seal}
    return {SELF_TAG: run_id, SEAL_TAG: plan.digest}
