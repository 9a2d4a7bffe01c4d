"""A place to run cycles in: a configuration, a movable clock, and what MLflow holds after."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, inspect, text

from exporter.config import Settings
from exporter.ledger import Ledger
from exporter.mapping.records_text import decode_record
from exporter.sinks.mlflow.rest import RestApi
from exporter.sync.clock import Stop
from exporter.sync.engine import Engine
from support.mlflow_dump import dump

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from exporter.hierarchy import RunSnapshot
    from exporter.sinks.mlflow.bindings import FoundRun
    from exporter.sync.report import CycleReport
    from support.mlflow_server import MlflowServer

Json = dict[str, Any]  # Any: JSON values
_numbers = itertools.count(1)


class MovableClock:
    """A clock that stands still until a test moves it; waiting moves it too."""

    def __init__(self, now_ms: int = 1_900_000_000_000) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        """Give the wall clock in UTC milliseconds."""
        return self.ms

    def monotonic_s(self) -> float:
        """Give seconds that never run backwards."""
        return self.ms / 1000

    def wait(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.ms += max(0, round(seconds * 1000))


@dataclass
class Site:
    """One configuration in a folder of its own; `repository` keeps experiments of tests apart."""

    folder: Path
    repository: str
    tracking_uri: str | None
    stacks: list[Json] = field(default_factory=list)
    destinations: list[Json] = field(default_factory=list)
    more: Json = field(default_factory=dict)
    clock: MovableClock = field(default_factory=MovableClock)
    stop: Stop = field(default_factory=Stop)
    state: str = ""
    grace_ms: int = 50
    threads: int = 4

    def add_stack(
        self,
        source: Path | str,
        key: str = "local",
        *,
        roots: list[Path] | None = None,
        rewrite: Mapping[str, Path] | None = None,
        **artifacts: object,
    ) -> None:
        """Add a stack over an SQLite store."""
        policy: Json = {**artifacts, "rewrite": {k: str(v) for k, v in (rewrite or {}).items()}}
        if roots is not None:
            policy["roots"] = [str(root) for root in roots]
        url = source if isinstance(source, str) else f"mlmd+sqlite:///{source}"
        self.stacks.append({"key": key, "source": url, "artifacts": policy})

    @property
    def events(self) -> Path:
        """The events file of the default destination."""
        return self.folder / "events.jsonl"

    @property
    def state_url(self) -> str:
        """The ledger."""
        return self.state or f"sqlite:///{self.folder / 'state.db'}"

    def values(self) -> Json:
        """Give the configuration as values."""
        destinations = self.destinations or [{"name": "events", "url": f"file://{self.events}"}]
        sinks: Json = {"openlineage": destinations}
        if self.tracking_uri:
            sinks["mlflow"] = {"tracking_uri": self.tracking_uri, "threads": self.threads}
        return {
            "repository": self.repository,
            "stacks": self.stacks,
            "sinks": sinks,
            "state": {"url": self.state_url},
            "settle": "0s",
            **self.more,
        }

    def config_file(self) -> Path:
        """Write the configuration as a file; JSON is YAML."""
        file = self.folder / "exporter.yaml"
        file.write_text(json.dumps(self.values()), encoding="utf-8")
        return file

    def engine(self) -> Engine:
        """Give an engine over the configuration as it is now."""
        return Engine(
            Settings.model_validate(self.values()),
            stop=self.stop,
            clock=self.clock,
            grace_ms=self.grace_ms,
            migrate=True,
        )

    def cycle(self, *, full: bool = False, repair: bool = False) -> CycleReport:
        """Run one cycle."""
        return self.engine().cycle(full=full, repair=repair)

    def ledger(self) -> Ledger:
        """Open the ledger."""
        return Ledger.open(self.state_url)

    def api(self) -> RestApi:
        """Give a way to ask MLflow; close it."""
        assert self.tracking_uri is not None
        return RestApi(self.tracking_uri, timeout_s=60)

    def held(self) -> dict[str, list[Json]]:
        """Dump the experiments of this repository by name, without MLflow's own ids."""
        api = self.api()
        try:
            return {name: dump(api, identity) for name, identity in self._experiments(api).items()}
        finally:
            api.close()

    def runs(self) -> list[FoundRun]:
        """Give all active runs of this repository."""
        api = self.api()
        try:
            found = self._experiments(api).values()
            return [run for identity in found for run in api.search(identity, "")]
        finally:
            api.close()

    def parents(self) -> dict[str, FoundRun]:
        """Give the active parent runs by the names of their pipeline runs."""
        found = [run for run in self.runs() if "mlflow.parentRunId" not in run.tags]
        assert len({run.name for run in found}) == len(found)
        return {run.name: run for run in found}

    def records(self) -> dict[str, RunSnapshot]:
        """Decode the record of every parent run, by unit key."""
        api = self.api()
        try:
            return {
                run.key: decode_record(run.tags, partial(api.get_file, run.artifact_uri))[0]
                for identity in self._experiments(api).values()
                for run in api.search(identity, "")
                if "mlflow.parentRunId" not in run.tags
            }
        finally:
            api.close()

    def begun(self) -> int:
        """Count the units whose creation was begun."""
        engine = create_engine(self.state_url)
        try:
            with engine.connect() as connection:
                if not inspect(connection).has_table("intents"):
                    return 0
                return int(connection.execute(text("SELECT COUNT(*) FROM intents")).scalar_one())
        finally:
            engine.dispose()

    def told(self) -> list[Json]:
        """Give the events of the default destination."""
        if not self.events.exists():
            return []
        return [json.loads(line) for line in self.events.read_text("utf-8").splitlines()]

    def _experiments(self, api: RestApi) -> dict[str, str]:
        """Give the ids of the experiments that the ledger is bound to, by name."""
        engine = create_engine(self.state_url)
        try:
            with engine.connect() as connection:
                ids = connection.execute(text("SELECT DISTINCT experiment_id FROM experiments"))
                found = [api.experiment(str(row[0])) for row in ids]
        finally:
            engine.dispose()
        return {state.name: state.experiment_id for state in found if not state.deleted}


@pytest.fixture
def new_site(tmp_path: Path, mlflow_server: MlflowServer) -> Callable[[], Site]:
    """Give a function that makes a site on the session's MLflow server."""

    def make() -> Site:
        number = next(_numbers)
        folder = tmp_path / f"site{number}"
        folder.mkdir()
        return Site(folder, f"sync-{os.getpid()}-{number}", mlflow_server.url)

    return make


@pytest.fixture
def site(new_site: Callable[[], Site]) -> Site:
    """Give one site."""
    return new_site()
