"""Describing tables: each keeps its own statistics, however often it is described."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from support.fake_history import FakeArtifacts
from support.samples import train_run

from exporter.hierarchy import Artifact, Port
from exporter.mapping.mlflow import MlflowNaming, plan_unit
from exporter.statistics.describing import STATISTICS, load
from exporter.sync import tables
from exporter.sync.tables import TableDescriber

if TYPE_CHECKING:
    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.mlflow import TableFacts
    from exporter.sinks.mlflow import MlflowSink

_FRAMES = {
    "/data/train": {"df.csv": b",a\n0,1\n"},
    "/data/test": {"df.csv": b",b\n0,1\n1,2\n"},
}
_TABLES = tuple(Artifact(uri[6:], "DataArtifact", uri) for uri in _FRAMES)


class _NothingEarlier:
    """A sink that holds no run before."""

    def earlier_file(self, *_: object, **__: object) -> None:
        """Find none."""


def _run(reader: FakeArtifacts) -> RunSnapshot:
    run = train_run(1)
    step = replace(run.steps[0], outputs=tuple(Port(t.id, t.id) for t in _TABLES))
    artifacts = tuple(replace(t, content=reader.content(t)) for t in _TABLES)
    return replace(run, steps=(step,), artifacts=artifacts)


def _facts(describer: TableDescriber, run: RunSnapshot) -> dict[str, TableFacts | None]:
    return {table.id: describer.facts(table) for table in run.artifacts}


def _columns(
    describer: TableDescriber, run: RunSnapshot, facts: dict[str, TableFacts | None]
) -> dict[str, list[str]]:
    """Give the columns that the statistics to be stored beside each table tell of."""
    plan = plan_unit(run, {}, MlflowNaming(), {}, facts)
    describer.expect(plan, run)
    found = {}
    for upload in plan.uploads:
        sink = cast("MlflowSink", _NothingEarlier())
        files = describer.files(plan, run, upload, sink, "1")
        description = load(files[f"{upload.derived}/{STATISTICS}"])
        assert description is not None
        found[upload.artifact_id] = [c.name for c in description.tables[0].columns]
    return found


def test_tables_that_are_described_again_keep_their_own_statistics() -> None:
    reader = FakeArtifacts(_FRAMES)
    with TableDescriber(reader) as describer:
        run = _run(reader)
        first = _columns(describer, run, _facts(describer, run))
        assert first["train"] != first["test"]
        assert _columns(describer, run, _facts(describer, run)) == first


def test_statistics_that_could_not_be_kept_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = FakeArtifacts(_FRAMES)
    with TableDescriber(reader) as before, TableDescriber(reader) as describer:
        run = _run(reader)
        facts = _facts(before, run)
        with monkeypatch.context() as patched:

            def full(_: object) -> bytes:
                raise OSError(28, "No space left on device")

            patched.setattr(tables, "statistics_bytes", full)
            with pytest.raises(OSError, match="No space left"):
                describer.facts(run.artifacts[0])
        assert _columns(describer, run, facts) == _columns(before, run, facts)
