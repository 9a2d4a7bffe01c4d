"""A cycle killed at any request is completed by the next; MLflow holds what it would have held."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.killing import KillingProxy, killing_proxy
from support.mlflow_dump import dump, dump_models
from support.mlflow_emptied import forget_everything
from support.mlflow_server import running_mlflow
from support.one_cycle import one_cycle
from support.two_generations import RECORDED_PREFIX, TwoGenerations

from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.killing import Moment
    from support.mlflow_server import MlflowServer

_GRACE_MS = 800
_CONFIG = """
repository: crash
stacks:
  - key: local
    source: {source}
    artifacts:
      roots: [{files}]
      rewrite: {{{prefix}: {files}}}
sinks:
  mlflow: {{tracking_uri: {url}}}
  openlineage: [{{name: events, url: {events}}}]
state: {{url: {state}}}
settle: 0s
"""


@dataclass(frozen=True)
class Bench:
    """A tracking server that can be emptied, behind a proxy that can kill."""

    server: MlflowServer
    proxy: KillingProxy
    url: str

    def empty(self) -> None:
        """Forget every experiment and run."""
        forget_everything(self.server.folder / "mlflow.db")

    def held(self) -> list[Any]:  # Any: the canonical dump
        """Dump all experiments, without MLflow's own ids."""
        api = RestApi(self.server.url, timeout_s=60)
        try:
            with closing(sqlite3.connect(self.server.folder / "mlflow.db", timeout=30)) as found:
                rows = found.execute(
                    "SELECT experiment_id, name FROM experiments"
                    " WHERE experiment_id <> 0 ORDER BY name"
                ).fetchall()
            return [[name, dump(api, str(i)), dump_models(api, str(i))] for i, name in rows]
        finally:
            api.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Give a server of this module's own, since it is emptied between trials."""
    with (
        running_mlflow(tmp_path_factory.mktemp("killed")) as server,
        killing_proxy(server.url) as (proxy, url),
    ):
        yield Bench(server, proxy, url)


class Trial:
    """One history, one state, one empty MLflow."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._bench = bench
        self.history = TwoGenerations(folder)
        self.history.write_first()
        self.config = folder / "exporter.yaml"
        self.config.write_text(
            _CONFIG.format(
                source=f"mlmd+sqlite:///{self.history.path}",
                files=self.history.files,
                prefix=RECORDED_PREFIX,
                url=bench.url,
                events=folder / "events.jsonl",
                state=f"sqlite:///{folder / 'state.db'}",
            )
        )
        bench.empty()

    def cycle(self) -> dict[str, Any]:  # Any: the report
        """Run one cycle to its end."""
        self._bench.proxy.disarm()
        report = one_cycle(self.config, _GRACE_MS)
        assert report.exit_code == 0, report.to_json()
        return report.to_json()

    def killed_cycle(self, at: int, moment: Moment) -> bool:
        """Run one cycle in a process that dies at a request; False when it had fewer."""
        self._bench.proxy.arm(at=at, moment=moment)
        tests = str(Path(__file__).resolve().parent.parent)
        process = subprocess.Popen(
            [sys.executable, "-m", "support.one_cycle", str(self.config), str(_GRACE_MS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": tests},
        )
        self._bench.proxy.watch(process.pid)
        process.communicate(timeout=120)
        killed = self._bench.proxy.killed
        assert killed == (process.returncode == -9)
        self._bench.proxy.disarm()
        return killed


@pytest.fixture(scope="module")
def uninterrupted(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give what an export without accident leaves, and how many requests its two cycles take."""
    trial = Trial(bench, tmp_path_factory.mktemp("whole") / "trial")
    trial.cycle()
    first = bench.proxy.count
    trial.history.write_second()
    trial.cycle()
    second = bench.proxy.count
    assert trial.cycle()["mlflow"]["requests"] == 0
    assert sum(len(models) for _, _, models in bench.held()) >= 3
    return {"held": bench.held(), "requests": (first, second)}


def _try(
    bench: Bench, folder: Path, uninterrupted: dict[str, Any], at: int, moment: Moment
) -> None:
    """Kill at request `at` of the two cycles together, run on, compare."""
    first, second = uninterrupted["requests"]
    trial = Trial(bench, folder)
    if at <= first:
        assert trial.killed_cycle(at, moment)
        trial.history.write_second()
    else:
        trial.cycle()
        trial.history.write_second()
        if not trial.killed_cycle(at - first, moment):
            assert at - first > second - 3, "the second cycle made fewer requests than before"
    trial.cycle()
    assert bench.held() == uninterrupted["held"]
    again = trial.cycle()
    assert (again["mlflow"]["runs_created"], again["mlflow"]["runs_updated"]) == (0, 0)
    assert bench.held() == uninterrupted["held"]
    assert trial.cycle()["mlflow"]["requests"] == 0


@pytest.mark.parametrize(
    ("share", "moment"),
    [
        pytest.param(0.1, "after", marks=pytest.mark.slow),
        (0.3, "during"),
        pytest.param(0.55, "before", marks=pytest.mark.slow),
        (0.8, "after"),
    ],
)
def test_a_killed_cycle_is_completed_by_the_next(
    bench: Bench,
    uninterrupted: dict[str, Any],
    tmp_path: Path,
    share: float,
    moment: Moment,
) -> None:
    requests = sum(uninterrupted["requests"])
    _try(bench, tmp_path / "trial", uninterrupted, max(1, int(requests * share)), moment)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_request_is_a_bad_moment_to_be_killed(
    bench: Bench, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    """Every fourth request, each moment in turn."""
    moments: tuple[Moment, ...] = ("before", "during", "after")
    points = range(1, sum(uninterrupted["requests"]) + 1, 4)
    for number, at in enumerate(points):
        _try(bench, tmp_path / str(at), uninterrupted, at, moments[number % 3])
    sys.stdout.write(f"killed at {len(points)} points, none diverged\n")
