"""Sizes, durations, cron expressions, masking, logging and the files that ship with the package."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import structlog
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import LogSettings, Masker, load_mapping, mapping_file, mapping_names, mask_url
from exporter.config.cron import cron_fields, cron_problem, cron_values
from exporter.config.logging import configure_logging
from exporter.config.masking import url_secrets
from exporter.config.resources import load_yaml_mapping, resource_folder
from exporter.config.units import format_size, parse_duration, parse_size
from exporter.errors import ConfigError, NotFound


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1024, 1024),
        ("17", 17),
        ("2 GiB", 2**31),
        ("500MB", 500_000_000),
        ("1.5 kib", 1536),
        ("1T", 10**12),
        (0, 0),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "1 GiBB", "0.3 B", "1 i", "\u0661 XB", True, "1e3"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_a_number_of_bytes_is_itself(size: int) -> None:
    assert parse_size(str(size)) == size
    assert parse_size(f"{size} B") == size
    assert parse_size(f"{size} KiB") == size * 1024


def test_sizes_are_shown_in_units_people_know() -> None:
    shown = [format_size(size) for size in (0, 17, 1536, 2 * 2**30, 3 * 2**40, 2**60)]
    assert shown == ["0 B", "17 B", "1.5 KiB", "2 GiB", "3 TiB", "1.049e+06 TiB"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("1h30m", 5400),
        ("7d", 604800),
        ("500ms", 0.5),
        (90, 90),
        ("1.5", 1.5),
        ("2w", 1209600),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "s", "-1s", "1 year", "nan", "1h 30", float("inf"), True]
)
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("*/5 * * * *", ""),
        ("@daily", ""),
        ("0 9-17/2 * jan-mar mon-fri", ""),
        ("0 0 * * 7", ""),
        ("* * * * * *", "has 5 fields, this has 6"),
        ("60 * * * *", "'60' is no minute"),
        ("5-1 * * * *", "ends before it begins"),
        ("*/0 * * * *", "is no minute"),
        ("* * * * sol", "'sol' is no day of week"),
        ("x# * * * *", "is no minute"),
        ("0 0 1 * mon", "not both"),
    ],
)
def test_a_cron_expression_says_what_is_wrong_with_it(text: str, problem: str) -> None:
    told = cron_problem(text)
    assert bool(told) == bool(problem)
    assert problem in told


def test_sunday_is_the_scheduler_s_sunday_however_it_is_written() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("UTC"))
    for text in ("0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "@weekly"):
        trigger = CronTrigger(**cron_fields(text), timezone="UTC")
        following = trigger.get_next_fire_time(None, noon)
        assert following == datetime(2026, 11, 29, tzinfo=ZoneInfo("UTC"))


@given(st.lists(st.integers(0, 59), min_size=1), st.lists(st.integers(0, 6), min_size=1))
def test_lists_mean_their_values(minutes: list[int], days: list[int]) -> None:
    text = f"{','.join(map(str, minutes))} * * * {','.join(map(str, days))}"
    values = cron_values(text)
    assert values[0] == tuple(sorted(set(minutes)))
    assert values[4] == tuple(sorted(set(days)))


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql+psycopg://u:p@ss:w/d@h:5/d?x=1", "postgresql+psycopg://u:***@h:5/d?x=1"),
        ("mlmd+mysql://u@h/d", "mlmd+mysql://u@h/d"),
        ("https://t0ken@h/d", "https://***@h/d"),
        ("http://h:5000/a", "http://h:5000/a"),
        ("s3://b/k?X-Token=1&token=abc&a=b", "s3://b/k?X-Token=***&token=***&a=b"),
        (
            "h://x?api_key=1;2&aws_secret_access_key=k",
            "h://x?api_key=***&aws_secret_access_key=***",
        ),
        ("a postgresql://u:p@h/d b", "a postgresql://u:***@h/d b"),
        ("sqlite:////srv/a.db", "sqlite:////srv/a.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_the_longest_secret_goes_first() -> None:
    assert Masker(["abcd", "abcdefgh"])("xabcdefghx abcdx") == "x***x ***x"


def test_a_secret_is_found_however_it_is_written() -> None:
    masker = Masker(['p@ss w"rd/'], basic=[("user", 'p@ss w"rd/')])
    for spelled in (
        'p@ss w"rd/',
        "p%40ss%20w%22rd%2F",
        "p%40ss+w%22rd%2F",
        json.dumps('p@ss w"rd/'),
    ):
        assert "ss" not in masker(spelled).replace("***", "")
    assert masker("Authorization: Basic dXNlcjpwQHNzIHcicmQv") == "Authorization: Basic ***"
    assert Masker(["Bearer open-sesame"])("is open-sesame right?") == "is *** right?"
    assert Masker(url_secrets("http://user:p%40ss@h"))("dXNlcjpwQHNz, p@ss") == "***, ***"


@given(st.lists(st.text(min_size=4, max_size=12), max_size=5), st.text(max_size=60))
def test_no_secret_is_left_in_any_text(secrets: list[str], text: str) -> None:
    parts = [secret for secret in secrets if "*" not in secret]
    shown = Masker(parts)(text + "|".join(parts))
    assert not [secret for secret in parts if secret in shown]


@pytest.fixture
def _plain_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("exporter").level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("exporter").setLevel(before[2])
    structlog.reset_defaults()


@pytest.mark.usefixtures("_plain_logging")
def test_off_a_terminal_each_line_is_a_json_object_without_secrets() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(), masker=Masker(["hunter22"]), stream=stream)
    log = structlog.get_logger("exporter.sync")
    log.info("unit_written", unit="a", url="postgresql://u:p@h/d", token="hunter22")
    log.debug("not_shown")
    logging.getLogger("exporter.sync").info("plain %s", "hunter22")
    logging.getLogger("some.library").info("not shown")
    logging.getLogger("some.library").warning("shown", extra={"key": "hunter22"})
    try:
        int("with hunter22")
    except ValueError:
        log.exception("failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["unit_written", "plain ***", "shown", "failed"]
    assert lines[0]["url"] == "postgresql://u:***@h/d"
    assert lines[0]["level"] == "info"
    assert lines[0]["timestamp"].endswith("Z")
    assert "with ***" in lines[3]["exception"]
    assert "hunter22" not in stream.getvalue()


@pytest.mark.usefixtures("_plain_logging")
def test_on_a_terminal_lines_are_for_people_and_debug_shows_the_libraries() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(format="console", level="debug"), stream=stream)
    logging.getLogger("some.library").debug("shown")
    structlog.get_logger("exporter").debug("unit_written", unit="a")
    assert "unit=a" in stream.getvalue()
    assert "shown" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_mappings_are_found_by_name_and_a_folder_of_the_user_s_wins(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "mine.yaml").write_text("tool: mine\n", encoding="utf-8")
    assert load_mapping("sources/mine", folder=tmp_path) == {"tool": "mine"}
    assert "mine" in mapping_names("sources", folder=tmp_path)
    assert "mine" not in mapping_names("sources")
    shipped = next(resource_folder("mappings").rglob("*.yaml"))
    name = shipped.relative_to(resource_folder("mappings")).as_posix()
    assert mapping_file(name, folder=tmp_path) == shipped
    (tmp_path / name).write_text("own: 1\n", encoding="utf-8")
    assert load_mapping(name.removesuffix(".yaml"), folder=tmp_path) == {"own": 1}


def test_a_mapping_that_is_not_there_is_told_with_the_near_misses(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(NotFound, match=r"Did you mean 'mine\.yaml'"):
        load_mapping("mein", folder=tmp_path)
    for outside in ("../config/local", "/etc/passwd", ""):
        with pytest.raises(ConfigError):
            mapping_file(outside)


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [", ":2:1 is not YAML"), ("- a", "holds no YAML mapping"), ("a: \x00", "cannot be read")],
)
def test_a_mapping_that_is_broken_says_where(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_yaml_mapping(file)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)
