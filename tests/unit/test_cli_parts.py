"""The parts of the command line that only compute."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import errors
from exporter.cli.config_text import Surroundings, config_text, quoted
from exporter.cli.exits import EXIT_CODES, exit_code
from exporter.cli.init import surroundings
from exporter.cli.output import counted, one_line, print_json, printable
from exporter.cli.prefixes import folders_near, guess_rewrite, local_path
from exporter.cli.run import show_errors
from exporter.config import settings_from
from exporter.config.settings import ScheduleSettings
from exporter.service.schedule import next_runs, schedule_text
from exporter.sync.report import CycleReport


@given(st.text())
def test_printable_text_moves_no_cursor_and_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert all(char.isprintable() or char in "\n\t" for char in shown)
    shown.encode("utf-8")
    assert one_line(text).isprintable()
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_printable_text_that_is_harmless_stays_as_it_is(text: str) -> None:
    if text.isprintable():
        assert printable(text) == text == one_line(text)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())))
def test_json_survives_any_text(value: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for encoding in ("utf-8", "ascii"):
            raw = TextIOWrapper(BytesIO(), encoding=encoding)
            patch.setattr("sys.stdout", raw)
            print_json(value)
            raw.seek(0)
            assert json.loads(raw.read()) == value


def test_json_masks_the_passwords_of_urls_at_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    monkeypatch.setattr("sys.stdout", out)
    print_json({"a": [{"b": "postgresql://u:sesame@host/db"}]})
    assert json.loads(out.getvalue()) == {"a": [{"b": "postgresql://u:***@host/db"}]}


@pytest.mark.parametrize(("count", "more"), [(20, ""), (21, "1"), (1_500, "1,480")])
def test_the_countthat_are_not_shown_are_all_counted(
    capsys: pytest.CaptureFixture[str], count: int, more: str
) -> None:
    report = CycleReport()
    for number in range(count):
        report.total.errors.append({"stack": "local", "error": f"no {number}"})
    show_errors(report)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (21 if more else 20)
    assert lines[-1] == (f"error: … and {more} more." if more else "error: stack 'local': no 19")


def _kinds(kind: type[errors.ExporterError]) -> set[type[errors.ExporterError]]:
    return {kind}.union(*(_kinds(inner) for inner in kind.__subclasses__()))


def test_every_error_has_an_exit_code_and_no_row_of_the_table_is_hidden() -> None:
    for place, (kind, code) in enumerate(EXIT_CODES):
        assert code in {1, 2, 3, 4}
        assert not any(issubclass(kind, earlier) for earlier, _ in EXIT_CODES[:place])
    for kind in _kinds(errors.ExporterError):
        assert any(issubclass(kind, known) for known, _ in EXIT_CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.NotFound("x"), 2),
        (errors.StoreUnreadable("x"), 2),
        (errors.SchemaTooOld("x"), 2),
        (errors.LeaseHeld("x"), 3),
        (errors.LeaseLost("x"), 3),
        (errors.SourceUnavailable("x"), 4),
        (errors.SinkUnavailable("x"), 4),
        (errors.StateUnavailable("x"), 4),
        (errors.SinkTerminal("x"), 1),
    ],
)
def test_an_error_ends_the_command_with_its_code(error: errors.ExporterError, code: int) -> None:
    assert exit_code(error) == code


def test_the_nearest_folder_that_brings_back_most_is_guessed(tmp_path: Path) -> None:
    store = tmp_path / "acme" / "stores" / "one"
    for place in ("trainer/model/1", "trainer/model/2"):
        (store / place).mkdir(parents=True)
    (tmp_path / "acme" / "other" / "a" / "b").mkdir(parents=True)
    uris = [
        "/data/stores/one/trainer/model/1",
        "file:///data/stores/one/trainer/model/2",
        "/data/other/a/b",
    ]
    near = guess_rewrite(uris, [store])
    assert near == ("/data/stores/one", str(store), 2)
    whole = guess_rewrite(uris, folders_near(store / "metadata.db"))
    assert whole == ("/data", str(tmp_path / "acme"), 3)


def test_nothing_is_guessed_from_what_is_there_already_or_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert guess_rewrite([f"{tmp_path}/a/b"], [tmp_path]) is None
    assert guess_rewrite(["/x/y/z", "s3://bucket/a/b", "", "relative/a/b"], [tmp_path]) is None
    assert guess_rewrite(["/x/../a/b", "/x\x00/a/b", f"/x/{'y' * 5000}/b"], [tmp_path]) is None
    assert guess_rewrite([], [tmp_path]) is None


@given(st.text())
def test_only_absolute_paths_that_do_not_climb_are_local(uri: str) -> None:
    path = local_path(uri)
    assert path is None or (path.is_absolute() and ".." not in path.parts)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200))
def test_a_name_of_any_kind_comes_back_out_of_the_configuration(name: str) -> None:
    if not name.strip() or not name.isprintable():
        return
    import yaml

    text = config_text("acme", [], Surroundings()).replace('"acme"', quoted(name))
    settings = settings_from(yaml.safe_load(text), folder=Path("/srv"))
    assert settings.repository == name


def test_an_address_is_taken_from_the_environment_without_its_credentials() -> None:
    found = surroundings(
        {
            "MLFLOW_TRACKING_URI": "https://ann:se@same@host:1/x",
            "OPENLINEAGE_URL": "ftp://host",
            "OPENLINEAGE_API_KEY": "",
        }
    )
    assert found.usable_tracking_uri == "https://host:1/x"
    assert found.lineage_url == ""
    assert "OPENLINEAGE_API_KEY" not in found.variables
    assert surroundings({"MLFLOW_TRACKING_URI": "mlruns"}).usable_tracking_uri == ""


_NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)


def test_an_interval_begins_at_once_and_goes_on_evenly() -> None:
    schedule = ScheduleSettings(every=timedelta(minutes=5))
    assert next_runs(schedule, _NOW, 3) == [_NOW + timedelta(minutes=5 * i) for i in range(3)]
    assert schedule_text(schedule) == "every 5 min"


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.5, "1.5 s"), (60, "60 s"), (90, "90 s"), (120, "2 min"), (7200, "2 h")]
)
def test_an_interval_is_told_in_words(seconds: float, text: str) -> None:
    schedule = ScheduleSettings(every=timedelta(seconds=seconds))
    assert schedule_text(schedule) == f"every {text}"


def test_one_is_told_in_the_singular() -> None:
    told = [counted(count, "problem") for count in (0, 1, 2_000)]
    assert told == ["0 problems", "1 problem", "2,000 problems"]


def test_a_cron_expression_is_of_its_time_zone() -> None:
    schedule = ScheduleSettings(cron="30 9 * * mon", timezone="Asia/Tokyo")
    first, second = next_runs(schedule, _NOW, 2)
    assert first.astimezone(UTC) == datetime(2026, 11, 30, 0, 30, tzinfo=UTC)
    assert second - first == timedelta(days=7)


def test_a_moment_that_never_comes_is_never_due() -> None:
    assert next_runs(ScheduleSettings(cron="0 0 30 2 *"), _NOW, 3) == []
