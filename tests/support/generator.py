"""Stores of any size and oddity, written by plain SQL as the real software writes its own.

`GeneratedStore` is a builder over a SQLite file: rows are buffered and written by `flush`, ids run
on from what the file holds, so a store can be opened again and changed. 200,000 steps take seconds.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from support import mlmd_ddl

Flavour = Literal["zenml-0.5", "zenml-0.5-early", "zenml-0.6", "zenml-0.6-early", "tfx"]
PropertyValue = int | float | str | bytes | bool | None
Port = tuple[str, int, int | None]  # name, artifact, index

START = 1_700_000_000_000  # 14 November 2023
RUNNING, COMPLETE, FAILED, CACHED, CANCELED = 2, 3, 4, 5, 6
INPUT, OUTPUT = 3, 4
_PRELOADED = (
    *(("mlmd.Dataset", 1), ("mlmd.Model", 1), ("mlmd.Metrics", 1), ("mlmd.Statistics", 1)),
    *((f"mlmd.{name}", 0) for name in ("Train", "Transform", "Process", "Evaluate", "Deploy")),
)
_CHAIN = ("importer", "analyzer", "trainer", "evaluator", "deployer")


@dataclass(slots=True)
class StepSpec:
    """A step to be written: `outputs` are ports of new artifacts, `reused` of existing ones."""

    name: str
    function: str | None = None
    state: int | None = COMPLETE
    parameters: Mapping[str, PropertyValue] = field(default_factory=dict)
    inputs: Sequence[Port] = ()
    outputs: Sequence[str] = ()
    reused: Sequence[Port] = ()
    seconds: float = 1.0


@dataclass(slots=True)
class WrittenStep:
    """The ids of a step that was written."""

    execution: int
    outputs: dict[str, int]


@dataclass(slots=True)
class WrittenRun:
    """The ids of a run that was written."""

    pipeline: int
    run: int
    steps: list[WrittenStep]

    @property
    def source_id(self) -> str:
        """Give the id by which the source knows the run."""
        return f"{self.pipeline}:{self.run}"


class GeneratedStore:
    """A store under construction. Use as a context manager, or call `flush` and `close`."""

    def __init__(self, path: Path, *, schema: int = 8, flavour: Flavour = "zenml-0.5") -> None:
        self.path = path
        self.flavour = flavour
        self.now = START
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA synchronous=OFF")
        fresh = not self.connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if fresh:
            for statement in mlmd_ddl.statements(schema, "sqlite"):
                self.connection.execute(statement)
            self.connection.execute("INSERT INTO MLMDEnv VALUES (?)", (schema,))
        self.schema = int(self.sql("SELECT schema_version FROM MLMDEnv")[0][0])
        self._columns = {t: mlmd_ddl.columns(t, self.schema) for t in mlmd_ddl.table_names()}
        self._pending: dict[str, list[tuple[Any, ...]]] = defaultdict(list)  # Any: any column
        self._last = {
            t: int(self.sql(f"SELECT COALESCE(MAX(id), 0) FROM {t}")[0][0])
            for t, names in self._columns.items()
            if names[0] == "id"
        }
        self._types: dict[tuple[str, int], int] = {
            (name, kind): i for i, name, kind in self.sql("SELECT id, name, type_kind FROM Type")
        }
        self._contexts: dict[tuple[int, str], int] = {
            (t, name): i for i, t, name in self.sql("SELECT id, type_id, name FROM Context")
        }
        if fresh:
            for name, kind in _PRELOADED:
                self.type(name, kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self.close()

    @property
    def url(self) -> str:
        """Give the SQLAlchemy URL."""
        return f"sqlite:///{self.path}"

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:  # Any: any column
        """Run a statement on what is flushed and give its rows."""
        return self.connection.execute(statement, parameters).fetchall()

    def flush(self) -> None:
        """Write what is buffered and commit."""
        for table, rows in self._pending.items():
            marks = ", ".join("?" * len(self._columns[table]))
            self.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        self._pending.clear()
        self.connection.commit()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    # --- rows -----------------------------------------------------------------------------------

    def insert(self, table: str, **values: Any) -> int:  # Any: any column
        """Buffer a row without the columns the schema lacks; gives its id, if it has one."""
        identity = 0
        if table in self._last:
            identity = values.get("id") or self._last[table] + 1
            values["id"] = identity
            self._last[table] = max(self._last[table], identity)
        self._pending[table].append(tuple(values.get(name) for name in self._columns[table]))
        return identity

    def reserve(self, table: str, count: int = 1) -> int:
        """Skip ids, as a transaction does that commits late; gives the first."""
        first = self._last[table] + 1
        self._last[table] += count
        return first

    def type(self, name: str, kind: int, *, properties: Mapping[str, int] | None = None) -> int:
        """Give the id of a type (0 execution, 1 artifact, 2 context), made when new."""
        known = self._types.get((name, kind))
        if known is None:
            known = self._types[name, kind] = self.insert("Type", name=name, type_kind=kind)
            for key, data_type in (properties or {}).items():
                self.insert("TypeProperty", type_id=known, name=key, data_type=data_type)
        return known

    def context(
        self, type_name: str, name: str, properties: Mapping[str, PropertyValue] | None = None
    ) -> int:
        """Give the id of a context, made when new."""
        type_id = self.type(type_name, 2)
        known = self._contexts.get((type_id, name))
        if known is None:
            known = self._contexts[type_id, name] = self.insert(
                "Context",
                type_id=type_id,
                name=name,
                create_time_since_epoch=self.now,
                last_update_time_since_epoch=self.now,
            )
            for key, value in (properties or {}).items():
                self.property("Context", known, key, value)
        return known

    def property(
        self, owner: str, owner_id: int, name: str, value: PropertyValue, *, custom: bool = True
    ) -> None:
        """Buffer a property in the column of its type."""
        columns: dict[type, str] = {int: "int_value", float: "double_value", str: "string_value"}
        columns |= {bytes: "byte_value", bool: "bool_value"}
        if isinstance(value, bool) and self.schema < 10:
            value = int(value)
        values = {} if value is None else {columns[type(value)]: value}
        self.insert(
            f"{owner}Property",
            **{f"{owner.lower()}_id": owner_id},
            name=name,
            is_custom_property=int(custom),
            **values,
        )

    def execution(
        self, type_name: str, state: int | None, start: int, end: int, name: str | None
    ) -> int:
        """Buffer an execution."""
        return self.insert(
            "Execution",
            type_id=self.type(type_name, 0),
            last_known_state=state,
            name=name,
            create_time_since_epoch=start,
            last_update_time_since_epoch=end,
        )

    def artifact(
        self,
        type_name: str,
        uri: str,
        *,
        name: str | None = None,
        state: int | None = 2,
        properties: Mapping[str, PropertyValue] | None = None,
        declared: Mapping[str, PropertyValue] | None = None,
    ) -> int:
        """Buffer an artifact with its properties."""
        made = self.insert(
            "Artifact",
            type_id=self.type(type_name, 1, properties=dict.fromkeys(declared or {}, 3)),
            uri=uri,
            state=state,
            name=name,
            create_time_since_epoch=self.now,
            last_update_time_since_epoch=self.now,
        )
        for key, value in (declared or {}).items():
            self.property("Artifact", made, key, value, custom=False)
        for key, value in (properties or {}).items():
            self.property("Artifact", made, key, value)
        return made

    def event(
        self,
        execution: int,
        artifact: int,
        kind: int,
        ports: Sequence[tuple[str, int | None]],
        *,
        identity: int | None = None,
    ) -> int:
        """Buffer an event that names ports; an index of None writes a key row only, as KFP does."""
        made = self.insert(
            "Event",
            id=identity,
            artifact_id=artifact,
            execution_id=execution,
            type=kind,
            milliseconds_since_epoch=self.now,
        )
        for name, index in ports:
            self.insert("EventPath", event_id=made, is_index_step=0, step_key=name)
            if index is not None:
                self.insert("EventPath", event_id=made, is_index_step=1, step_index=index)
        return made

    def associate(self, context: int, execution: int) -> int:
        """Buffer an association."""
        return self.insert("Association", context_id=context, execution_id=execution)

    # --- histories ------------------------------------------------------------------------------

    def run(
        self,
        pipeline: str,
        run: str,
        steps: Sequence[StepSpec],
        *,
        root: str = "/data/generated",
        contexts: Mapping[str, Mapping[str, PropertyValue]] | None = None,
    ) -> WrittenRun:
        """Write a run as its software would; input artifact -n is the n-th newest output so far."""
        tfx = self.flavour == "tfx"
        pipeline_id = self.context("pipeline", pipeline)
        run_id = self.context("pipeline_run", run)
        if tfx and self.schema >= 10:
            self.insert("ParentContext", context_id=run_id, parent_context_id=pipeline_id)
        made: list[int] = []
        written = [
            self._step(pipeline, pipeline_id, run, run_id, spec, made, root, contexts or {})
            for spec in steps
        ]
        return WrittenRun(pipeline_id, run_id, written)

    def _step(
        self,
        pipeline: str,
        pipeline_id: int,
        run: str,
        run_id: int,
        spec: StepSpec,
        made: list[int],
        root: str,
        contexts: Mapping[str, Mapping[str, PropertyValue]],
    ) -> WrittenStep:
        function = spec.function or spec.name
        module = "components." if self.flavour == "tfx" else "__main__."
        start = self.now
        self.now += max(1, int(spec.seconds * 1000))
        end = start if spec.state == RUNNING else self.now
        number = self._last["Execution"] + 1
        named = f"00000000-0000-0000-0000-{number:012x}" if self.schema >= 8 else None
        execution = self.execution(module + function, spec.state, start, end, named)
        self._parameters(execution, spec)
        self.associate(pipeline_id, execution)
        self.associate(run_id, execution)
        node = spec.name if self.flavour == "tfx" else function
        self.associate(self.context("node", f"{pipeline}.{node}"), execution)
        parts = json.dumps([pipeline, node, dict(spec.parameters)], default=str)
        key = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
        self.associate(self.context("execution_cache", key), execution)
        for kind, properties in contexts.items():
            self.associate(
                self.context(
                    kind, f"{kind}-{json.dumps(properties, default=str)}"[:255], properties
                ),
                execution,
            )
        grouped: dict[int, list[tuple[str, int | None]]] = defaultdict(list)
        for name, artifact, index in spec.inputs:
            grouped[made[artifact] if artifact < 0 else artifact].append((name, index))
        for artifact, ports in grouped.items():
            for group in [ports] if self.schema >= 8 else [[port] for port in ports]:
                self.event(execution, artifact, INPUT, group)
        outputs = {}
        for name in spec.outputs:
            artifact = self._output(pipeline, run, node, name, execution, root)
            outputs[name] = artifact
            made.append(artifact)
            self.event(execution, artifact, OUTPUT, [(name, 0)])
            self.insert("Attribution", context_id=run_id, artifact_id=artifact)
        for name, artifact, index in spec.reused:
            outputs[name] = artifact
            made.append(artifact)
            self.event(execution, artifact, OUTPUT, [(name, index)])
        return WrittenStep(execution, outputs)

    def _parameters(self, execution: int, spec: StepSpec) -> None:
        native = self.flavour == "tfx"
        for name, value in spec.parameters.items():
            self.property(
                "Execution",
                execution,
                name,
                value if native or isinstance(value, bytes) else _json(value),
            )
        if native:
            return
        if self.flavour != "zenml-0.5-early":
            self.property(
                "Execution", execution, "zenml-pipeline_parameter_name", json.dumps(spec.name)
            )
            self.property("Execution", execution, "zenml-step_source", json.dumps("0" * 64))
            for name in spec.outputs:
                self.property(
                    "Execution",
                    execution,
                    f"zenml-{name}_materializer_source",
                    json.dumps("1" * 64),
                )

    def _output(
        self, pipeline: str, run: str, node: str, name: str, execution: int, root: str
    ) -> int:
        uri = f"{root}/{node}/{name}/{execution}"
        if self.flavour == "tfx":
            return self.artifact(
                "Examples", uri, properties={"tfx_version": "1.15.1", "is_external": 0}
            )
        early = self.flavour == "zenml-0.5-early"
        version = "0.12.0" if self.flavour.startswith("zenml-0.6") else "0.5.7"
        materializer = (
            f"zenml.materializers.built_in_materializer.BuiltInMaterializer@zenml_{version}"
        )
        declared: dict[str, PropertyValue] = {
            "materializers" if early else "materializer": materializer
        }
        if not early:
            declared["datatype"] = "builtins.float"
        full = f"{pipeline}:{run}:{node}:{name}:0"
        return self.artifact(
            "DataArtifact",
            uri,
            name=full[:255] if self.schema >= 8 else None,
            properties={"name": full, "tfx_version": "1.5.0"},
            declared=declared,
        )

    def chain(
        self,
        pipeline: str,
        run: str,
        *,
        state: int | None = COMPLETE,
        c: float = 1.0,
        reuse: WrittenRun | None = None,
        steps: int = 5,
    ) -> WrittenRun:
        """Write a run of up to five steps in a row; the first two are cached from `reuse`."""
        specs = []
        for place, name in enumerate(_CHAIN[:steps]):
            inputs: tuple[Port, ...] = (("data", -1, 0),) if place else ()
            last = place == steps - 1
            if reuse is not None and place < 2:
                outputs = reuse.steps[place].outputs
                reused = tuple((port, artifact, 0) for port, artifact in outputs.items())
                specs.append(
                    StepSpec(
                        name,
                        state=CACHED,
                        inputs=inputs,
                        reused=reused,
                        parameters=_parameters(place, 1.0),
                    )
                )
                continue
            names = ("train", "test") if place == 0 else ("output",)
            specs.append(
                StepSpec(
                    name,
                    state=state if last else COMPLETE,
                    inputs=inputs,
                    outputs=names if not last or state in (COMPLETE, CACHED) else (),
                    parameters=_parameters(place, c),
                )
            )
        contexts: dict[str, Mapping[str, PropertyValue]] = {}
        if self.flavour == "zenml-0.6":
            stack = json.dumps({"name": "default", "orchestrator": "{}"})
            contexts["zenml"] = {"stack": stack, "runtime_configuration": '{"schedule": null}'}
        elif self.flavour == "zenml-0.6-early":
            contexts["stack"] = {"name": '"default"', "metadata_store": f'"{run}"'}
            contexts["pipeline_requirements"] = {"pipeline_requirements": "pandas"}
        return self.run(pipeline, run, specs, contexts=contexts)

    def fill(
        self, runs: int, *, pipelines: int = 4, prefix: str = "run", gap_s: float = 60.0
    ) -> list[WrittenRun]:
        """Write many runs of five steps; every other one takes two from the cache."""
        written: list[WrittenRun] = []
        newest: dict[int, WrittenRun] = {}
        for number in range(runs):
            which = number % pipelines
            reuse = newest.get(which) if (number // pipelines) % 2 else None
            made = self.chain(
                f"pipeline_{which}", f"{prefix}_{number}", c=float(number), reuse=reuse
            )
            self.now += int(gap_s * 1000)
            newest[which] = made
            written.append(made)
            if number % 2_000 == 1_999:
                self.flush()
        self.flush()
        return written

    # --- changes --------------------------------------------------------------------------------

    def finish(self, step: WrittenStep, *, output: str = "output", state: int = COMPLETE) -> None:
        """Let a running step end, with an output when it succeeds; moves its time."""
        self.now += 1_000
        self.sql(
            "UPDATE Execution SET last_known_state = ?, last_update_time_since_epoch = ? "
            "WHERE id = ?",
            state,
            self.now,
            step.execution,
        )
        if state == COMPLETE:
            artifact = self._output(
                "p", f"r{step.execution}", "late", output, step.execution, "/data/generated"
            )
            step.outputs[output] = artifact
            self.event(step.execution, artifact, OUTPUT, [(output, 0)])
        self.flush()

    def change_parameter(
        self, execution: int, name: str, text: str, *, move_time: bool = True
    ) -> None:
        """Change a parameter, by the software (the time moves) or behind its back (it does not)."""
        self.sql(
            "UPDATE ExecutionProperty SET string_value = ? WHERE execution_id = ? AND name = ?",
            text,
            execution,
            name,
        )
        if move_time:
            self.now += 1_000
            self.sql(
                "UPDATE Execution SET last_update_time_since_epoch = ? WHERE id = ?",
                self.now,
                execution,
            )
        self.flush()

    def remove_step(self, execution: int) -> None:
        """Delete an execution with everything that hangs on it."""
        self.sql(
            "DELETE FROM EventPath WHERE event_id IN (SELECT id FROM Event WHERE execution_id = ?)",
            execution,
        )
        for table, column in (
            ("Event", "execution_id"),
            ("Association", "execution_id"),
            ("ExecutionProperty", "execution_id"),
            ("Execution", "id"),
        ):
            self.sql(f"DELETE FROM {table} WHERE {column} = ?", execution)
        self.flush()

    def late_input(
        self, execution: int, artifact: int, port: str, *, identity: int | None = None
    ) -> None:
        """Add an input event to a finished step, which moves no time; by a reserved id if given."""
        self.event(execution, artifact, INPUT, [(port, 0)], identity=identity)
        self.flush()


def _parameters(place: int, c: float) -> dict[str, PropertyValue]:
    if place == 2:
        return {"C": c, "solver": "lbfgs", "max_iter": 200, "tags": '["a", "b"]'}
    return {"rows": 120, "seed": 7}


def _json(value: PropertyValue) -> str:
    return value if isinstance(value, str) and value[:1] in ("[", "{") else json.dumps(value)
