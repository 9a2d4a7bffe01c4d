"""What an MLflow sink made of the units: intents, run ids, experiments, places of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from exporter.ledger.progress import chunks, make_pending, mark_done, standings, upsert
from exporter.ledger.records import AppliedUnit, ExperimentRow, HomeRow, Intent
from exporter.ledger.schema import bindings, contents, experiments, homes, intents, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from exporter.ledger.database import Database
    from exporter.ledger.records import Lease


class Bindings:
    """Keys bound to what a sink created for them. A sink here is one tracking server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, lease: Lease, sink: str, keys: Iterable[str], process: str, now: int) -> None:
        """Write the intent to create runs of these units; call it before the first create.

        Repeat: the newest process and time stay.
        """
        rows = [
            {
                "sink": sink,
                "unit_key": key,
                "process": process,
                "written_ms": now,
                "recheck": False,
            }
            for key in dict.fromkeys(keys)
        ]
        if rows:
            with self._database.write(lease) as connection:
                upsert(connection, intents, rows)

    def intents(self, sink: str, keys: Iterable[str]) -> dict[str, Intent]:
        """Give the intents of these units that are still open."""
        found: dict[str, Intent] = {}
        with self._database.read() as connection:
            for part in chunks(keys):
                rows = connection.execute(
                    select(*_INTENT).where(intents.c.sink == sink, intents.c.unit_key.in_(part))
                )
                found.update((key, Intent(*rest)) for key, *rest in rows)
        return found

    def open_intents(self, sink: str) -> dict[str, Intent]:
        """Give all open intents: creates that may have happened unseen, and units to recheck."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_INTENT).where(intents.c.sink == sink).order_by(intents.c.written_ms)
            )
            return {key: Intent(*rest) for key, *rest in rows}

    def to_recheck(self, sink: str, now: int) -> list[str]:
        """Give the units to look at once more whose time, the intent's, has come; oldest first."""
        with self._database.read() as connection:
            return list(
                connection.execute(
                    select(intents.c.unit_key)
                    .where(
                        intents.c.sink == sink,
                        intents.c.recheck.is_(True),
                        intents.c.written_ms <= now,
                    )
                    .order_by(intents.c.written_ms)
                ).scalars()
            )

    def finish(
        self,
        lease: Lease,
        sink: str,
        applied: Sequence[AppliedUnit],
        now: int,  # noqa: ARG002 - every write names its time
    ) -> None:
        """Store what the sink holds of these units now, all or none of them.

        Each is marked done with its fingerprint (it stays pending if the source moved on
        meanwhile), its bindings are replaced, its homes are added, its intent is closed or, with
        `recheck`, kept for one more look.
        Repeat: harmless.
        """
        if not applied:
            return
        with self._database.write(lease) as connection:
            where = standings(connection, sink, [unit.key for unit in applied])
            mark_done(connection, sink, [(unit.key, unit.fingerprint) for unit in applied])
            _replace(connection, sink, {unit.key: unit.bindings for unit in applied})
            _add_homes(connection, sink, applied, {key: unit.stack for key, unit in where.items()})
            again = [unit.key for unit in applied if unit.recheck]
            closed = [unit.key for unit in applied if not unit.recheck]
            for part in chunks(again):
                connection.execute(
                    update(intents)
                    .where(intents.c.sink == sink, intents.c.unit_key.in_(part))
                    .values(recheck=True)
                )
            for part in chunks(closed):
                connection.execute(
                    delete(intents).where(intents.c.sink == sink, intents.c.unit_key.in_(part))
                )

    def of(self, sink: str, keys: Iterable[str]) -> dict[str, dict[str, str]]:
        """Give the bindings of each unit, key → run id; units without any are left out."""
        found: dict[str, dict[str, str]] = {}
        with self._database.read() as connection:
            for part in chunks(keys):
                rows = connection.execute(
                    select(bindings.c.unit_key, bindings.c.key, bindings.c.run_id).where(
                        bindings.c.sink == sink, bindings.c.unit_key.in_(part)
                    )
                )
                for unit_key, key, run_id in rows:
                    found.setdefault(unit_key, {})[key] = run_id
        return found

    def save(self, lease: Lease, sink: str, found: Mapping[str, Mapping[str, str]]) -> None:
        """Replace the bindings of units by what was found of each; an empty mapping forgets them.

        The units need not be known: a ledger that was lost learns them from the sink first.
        """
        if found:
            with self._database.write(lease) as connection:
                _replace(connection, sink, found)

    def experiment(self, sink: str, key: str) -> ExperimentRow | None:
        """Give the experiment bound to a pipeline's key."""
        with self._database.read() as connection:
            row = connection.execute(
                select(
                    experiments.c.experiment_id,
                    experiments.c.artifact_location,
                    experiments.c.scanned,
                ).where(experiments.c.sink == sink, experiments.c.key == key)
            ).one_or_none()
        return None if row is None else ExperimentRow(*row)

    def save_experiment(self, lease: Lease, sink: str, key: str, row: ExperimentRow) -> None:
        """Bind a pipeline's key to an experiment, in place of an earlier one."""
        with self._database.write(lease) as connection:
            upsert(connection, experiments, [{"sink": sink, "key": key, **row._asdict()}])

    def forget_pipeline(
        self, lease: Lease, sink: str, stack: str, pipeline: str, experiment_key: str
    ) -> int:
        """Forget what the sink held of a pipeline: its experiment, runs and copies of artifacts.

        Its units that are still at the source are to be done again; gives how many these are.
        """
        query = select(units.c.id, units.c.key, units.c.gone).where(
            units.c.stack == stack, units.c.pipeline == pipeline
        )
        with self._database.write(lease) as connection:
            held = connection.execute(query).all()
            for part in chunks(row.key for row in held):
                ours = (bindings.c.sink == sink) & bindings.c.unit_key.in_(part)
                steps = select(bindings.c.key).where(ours)
                connection.execute(
                    delete(homes).where(
                        homes.c.sink == sink, homes.c.stack == stack, homes.c.step_key.in_(steps)
                    )
                )
                connection.execute(delete(bindings).where(ours))
            connection.execute(
                delete(experiments).where(
                    experiments.c.sink == sink, experiments.c.key == experiment_key
                )
            )
            left = [row.id for row in held if not row.gone]
            make_pending(connection, stack, left, sink=sink)
        return len(left)

    def homes(self, sink: str, stack: str, artifact_ids: Iterable[str]) -> dict[str, HomeRow]:
        """Give where copied artifacts are; those not copied are left out."""
        found: dict[str, HomeRow] = {}
        with self._database.read() as connection:
            for part in chunks(artifact_ids):
                rows = connection.execute(
                    select(homes.c.artifact_id, homes.c.step_key, homes.c.path).where(
                        homes.c.sink == sink,
                        homes.c.stack == stack,
                        homes.c.artifact_id.in_(part),
                    )
                )
                found.update((artifact_id, HomeRow(*rest)) for artifact_id, *rest in rows)
        return found

    def contents(self, stack: str, policy: str, artifact_ids: Iterable[str]) -> dict[str, str]:
        """Give the contents (JSON text) that were worked out under this very policy."""
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for part in chunks(artifact_ids):
                rows = connection.execute(
                    select(contents.c.artifact_id, contents.c.content).where(
                        contents.c.stack == stack,
                        contents.c.policy == policy,
                        contents.c.artifact_id.in_(part),
                    )
                )
                found.update((artifact_id, content) for artifact_id, content in rows)
        return found

    def save_contents(
        self, lease: Lease, stack: str, policy: str, contents_by_id: Mapping[str, str]
    ) -> None:
        """Keep artifacts' contents: no file is digested twice; another policy's are replaced."""
        rows = [
            {"stack": stack, "artifact_id": artifact_id, "policy": policy, "content": content}
            for artifact_id, content in contents_by_id.items()
        ]
        if rows:
            with self._database.write(lease) as connection:
                upsert(connection, contents, rows)


_INTENT = (intents.c.unit_key, intents.c.process, intents.c.written_ms, intents.c.recheck)


def _replace(connection: Connection, sink: str, found: Mapping[str, Mapping[str, str]]) -> None:
    for part in chunks(found):
        connection.execute(
            delete(bindings).where(bindings.c.sink == sink, bindings.c.unit_key.in_(part))
        )
    rows = [
        {"sink": sink, "unit_key": unit_key, "key": key, "run_id": run_id}
        for unit_key, runs in found.items()
        for key, run_id in runs.items()
    ]
    if rows:
        connection.execute(insert(bindings), rows)


def _add_homes(
    connection: Connection, sink: str, applied: Sequence[AppliedUnit], stacks: Mapping[str, str]
) -> None:
    rows = {
        (stacks[unit.key], artifact_id): {
            "sink": sink,
            "stack": stacks[unit.key],
            "artifact_id": artifact_id,
            "step_key": step_key,
            "path": path,
        }
        for unit in applied
        for artifact_id, (step_key, path) in unit.homes.items()
    }
    upsert(connection, homes, list(rows.values()))
