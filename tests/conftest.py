"""Fixtures that every kind of test shares; each server has a module of its own in `support`."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

# Imported here for the profile below, and so that Hypothesis is whole before the closing summary:
# its plugin would otherwise first import it there when no test of a run uses it.
from hypothesis import settings

# A loaded machine is no failure; what failed prints what brings it back. The examples are the same
# each time, so that a change fails on what it changed; `make explore` looks for new ones.
_EXPLORE = os.environ.get("EXPORTER_TEST_EXPLORE", "") not in ("", "0")
settings.register_profile("exporter", deadline=None, print_blob=True, derandomize=not _EXPLORE)
settings.load_profile("exporter")

# Each module holds the fixtures of one server or one part. One that is not there is left out, so
# that a part can be tested before its neighbours exist.
_FIXTURE_MODULES = (
    "support.postgres",
    "support.ledgers",
    "support.feast_server",
    "support.mariadb",
    "support.mlflow_server",
    "support.openlineage_server",
    "support.lineage_catalogs",
    "support.here",
    "support.kafka_broker",
    "support.stores",
    "support.sync_site",
    "support.readback_site",
)
pytest_plugins = [name for name in _FIXTURE_MODULES if find_spec(name) is not None]

_ROOT = Path(__file__).resolve().parent.parent
_MUST_RUN = "EXPORTER_TEST_MUST_RUN"  # markers whose tests may not be skipped, separated by spaces


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Give the folder that holds pyproject.toml."""
    return _ROOT


@pytest.fixture(scope="session")
def stores() -> Path:
    """Give the folder of the recorded stores; never open one for writing, copy it first."""
    return _ROOT / "tests" / "stores"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own configuration out of the tests."""
    sinks = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN")
    for name in ("EXPORTER_CONFIG", *sinks, "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def _skipped(reporter: pytest.TerminalReporter, marker: str) -> list[pytest.TestReport]:
    reports = reporter.stats.get("skipped", [])
    return [
        report
        for report in reports
        if isinstance(report, pytest.TestReport) and marker in report.keywords
    ]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the closing lines which servers and frameworks were missing."""
    if skipped := _skipped(terminalreporter, "mariadb"):
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped for want of a MariaDB or MySQL server: install "
            "mariadb-server, or name one in EXPORTER_TEST_MARIADB_URL.",
            yellow=True,
        )
    if skipped := _skipped(terminalreporter, "models"):
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped for want of Keras, PyTorch and other frameworks: "
            "make test-models installs those and runs them.",
            yellow=True,
        )
    if skipped := _skipped(terminalreporter, "feast"):
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped for want of Feast: make test-feast installs it "
            "into an environment of its own and runs them.",
            yellow=True,
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a skip is not allowed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(reporter, pytest.TerminalReporter):
        return
    for marker in os.environ.get(_MUST_RUN, "").split():
        if _skipped(reporter, marker):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter.write_line(f"\nTests marked {marker!r} were skipped, and must run here.")
