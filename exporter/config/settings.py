"""The settings of one service: one repository, its stacks, its sinks. Frozen and checked.

This file says what may be written; `load` says where it is found and how mistakes are told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    Secret,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from exporter.config.cron import cron_problem
from exporter.config.masking import Masker, mask_url, tree_secrets, url_secrets
from exporter.config.units import parse_duration, parse_size
from exporter.config.urls import (
    anchored_path,
    anchored_place,
    anchored_sqlite,
    file_url_path,
    same_place,
    scheme_of,
)


class SecretUrl(Secret[str]):
    """A URL that may hold a password: shown without it, given whole by `get_secret_value()`."""

    def _display(self) -> str:
        return mask_url(self.get_secret_value())


def _folder(info: ValidationInfo) -> Path:
    """Give the folder that relative paths start from."""
    return (info.context or {}).get("folder") or Path.cwd()


def _sendable(value: SecretStr) -> SecretStr:
    """Refuse what would end a header early; a file of a token often ends with a line break."""
    if not value.get_secret_value().isprintable():
        raise ValueError("it holds a line break or another character that cannot be printed")
    return value


def _token(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().isascii():
        raise ValueError("it holds a character that is not ASCII, which a token cannot have")
    return _sendable(value)


Password = Annotated[SecretStr, AfterValidator(_sendable)]
Token = Annotated[SecretStr, AfterValidator(_token)]


def _unresolved(text: str, info: ValidationInfo) -> bool:
    """Say whether the text is a reference that this reading was told not to need."""
    return "${" in text and bool((info.context or {}).get("lenient"))


def _database(schemes: tuple[str, ...], what: str) -> Any:  # Any: a pydantic annotation
    """Build the check of a database URL: a known dialect, an SQLite file made absolute."""

    def check(value: SecretUrl, info: ValidationInfo) -> SecretUrl:
        url = value.get_secret_value()
        if _unresolved(url, info):
            return value
        if what == "source" and url.startswith(_READ_BACK):
            return SecretUrl(_READ_BACK + _tracking_url(url.removeprefix(_READ_BACK), info))
        scheme = scheme_of(url).removeprefix("mlmd+").split("+")[0]
        if (
            "://" not in url
            or scheme not in schemes
            or (what == "source") != url.startswith("mlmd+")
        ):
            raise ValueError(_URL_ADVICE[what])
        return SecretUrl(anchored_sqlite(url, _folder(info)))

    return AfterValidator(check)


_READ_BACK = "mlflow+"
_URL_ADVICE = {
    "source": "write mlmd+<SQLAlchemy URL>, such as mlmd+sqlite:////srv/zenml/metadata.db, "
    "mlmd+mysql+pymysql://… or mlmd+postgresql+psycopg://…, or mlflow+<tracking URI>",
    "state": "write sqlite:////srv/out/state.db or postgresql+psycopg://user:password@host/database",
    "tracking_uri": "write http://host:5000, https://… or a tracking database's SQLAlchemy URL",
}


def _tracking(value: SecretUrl, info: ValidationInfo) -> SecretUrl:
    url = value.get_secret_value()
    return value if _unresolved(url, info) else SecretUrl(_tracking_url(url, info))


def _tracking_url(url: str, info: ValidationInfo) -> str:
    scheme = scheme_of(url).split("+")[0]
    if "://" not in url or scheme not in {
        "http",
        "https",
        "sqlite",
        "postgresql",
        "mysql",
        "mssql",
    }:
        raise ValueError(_URL_ADVICE["tracking_uri"])
    if scheme in {"http", "https"}:
        return _plain_http(url).rstrip("/")
    return anchored_sqlite(url, _folder(info))


def _plain_http(url: str) -> str:
    """Refuse credentials in a web address: they would become part of the sink's identity."""
    authority = url.split("://", 1)[1].split("/", 1)[0]
    if not authority:
        raise ValueError("the address names no host")
    if "@" in authority:
        raise ValueError(
            "take the credentials out of the address: use username and password, or token"
        )
    return url


_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(/|$)")


def _destination(value: SecretUrl, info: ValidationInfo) -> SecretUrl:
    url = value.get_secret_value()
    if _unresolved(url, info):
        return value
    scheme = scheme_of(url)
    if scheme in {"http", "https"} and "://" in url:
        return SecretUrl(_plain_http(url))
    if scheme == "file":
        return SecretUrl(f"file://{file_url_path(url)}")
    if "://" in url or not url.strip():
        raise ValueError("write http://host:5000, https://… or file:///srv/out/events.jsonl")
    if _HOST_AND_PORT.match(url):
        raise ValueError(f"is it a file or a server? Write file:///… or http://{url}")
    return SecretUrl(f"file://{anchored_path(url, _folder(info))}")


def _client_transport(value: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: the client's own
    kind = value.get("type")
    if not isinstance(kind, str) or not kind:
        raise ValueError("needs its `type`, such as kafka, as openlineage-python takes it")
    return MappingProxyType(dict(value))


def _client_file(path: str, info: ValidationInfo) -> str:
    if not path:
        raise ValueError("write `auto`, or the path of an openlineage.yml")
    return path if path == "auto" or _unresolved(path, info) else anchored_path(path, _folder(info))


def _shown(value: Mapping[str, Any]) -> Any:  # Any: JSON values
    """Give a transport as it may be shown."""
    return json.loads(Masker(tree_secrets(value))(json.dumps(dict(value), default=str)))


class At(ValueError):  # noqa: N818 - reads as the place it names
    """What is wrong with a setting that only its neighbours show, and which setting it is."""

    def __init__(self, place: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.place = place


def _distinct(what: str, names: list[str], place: Callable[[int], tuple[str | int, ...]]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        last = max(number for number, name in enumerate(names) if name in twice)
        raise At(
            place(last),
            f"there is more than one {what} {', '.join(map(repr, twice))}: each needs its own",
        )


def _name(text: str) -> str:
    if not text.strip() or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("a name has at least one visible character and no control characters")
    return text


def _places(places: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    return tuple(anchored_place(place, _folder(info)) for place in places)


def _rewriting(prefixes: Mapping[str, str], info: ValidationInfo) -> Mapping[str, str]:
    if "" in prefixes:
        raise ValueError("an empty prefix would rewrite everything: name the recorded prefix")
    folder = _folder(info)
    return MappingProxyType({old: anchored_place(new, folder) for old, new in prefixes.items()})


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError) as error:  # an unknown zone is a KeyError made of an OSError
        raise ValueError("write a zone such as UTC or Europe/Berlin") from error
    except KeyError as error:
        raise ValueError("write a zone such as UTC or Europe/Berlin") from error
    return name


def _cron(text: str) -> str:
    if problem := cron_problem(text):
        raise ValueError(problem)
    return " ".join(text.split())


def _mappings_folder(path: str, info: ValidationInfo) -> str:
    folder = anchored_path(path, _folder(info))
    if not Path(folder).is_dir():
        raise ValueError("there is no such folder")
    return folder


def _duration(value: object) -> timedelta:
    return value if isinstance(value, timedelta) else parse_duration(_scalar(value))


def _size(value: object) -> int:
    return parse_size(_scalar(value))


def _scalar(value: object) -> str | int | float:
    return value if isinstance(value, str | int | float) else str(value)


Name = Annotated[str, Field(max_length=250), AfterValidator(_name)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
SourceUrl = Annotated[SecretUrl, _database(("sqlite", "mysql", "mariadb", "postgresql"), "source")]
StateUrl = Annotated[SecretUrl, _database(("sqlite", "postgresql"), "state")]
TrackingUri = Annotated[SecretUrl, AfterValidator(_tracking)]
DestinationUrl = Annotated[SecretUrl, AfterValidator(_destination)]
Transport = Annotated[Mapping[str, Any], AfterValidator(_client_transport), PlainSerializer(_shown)]
FolderPath = Annotated[str, AfterValidator(lambda path, info: anchored_path(path, _folder(info)))]


def _default(**values: object) -> Any:  # Any: pydantic checks it against the field's own type
    """Give a section's default as if it had been written: its relative paths are anchored too."""
    return Field(default_factory=lambda: values, validate_default=True)


class Section(BaseModel):
    """A part of the configuration: frozen, and a name it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ArtifactSettings(Section):
    """What may be read of a stack's artifacts, and where they are now."""

    mode: Literal["copy", "reference"] = "copy"
    max_size: Size = 2 * 2**30
    roots: Annotated[tuple[str, ...], AfterValidator(_places)] | None = None
    rewrite: Annotated[Mapping[str, str], AfterValidator(_rewriting), PlainSerializer(dict)] = (
        Field(default_factory=dict, validate_default=True)
    )


class StackSettings(Section):
    """One source of history, under the key by which the API names it."""

    key: Name
    source: SourceUrl
    flavour: Name = "auto"
    sidecars: FolderPath | None = None
    artifacts: ArtifactSettings = _default()


class MlflowSettings(Section):
    """The MLflow that the history is written to."""

    tracking_uri: TrackingUri
    username: Name | None = None
    password: Password | None = None
    token: Token | None = None
    threads: Annotated[int, Field(ge=1, le=64)] = 4

    @model_validator(mode="after")
    def _one_kind_of_credentials(self) -> Self:
        if self.token is not None and (self.username or self.password) is not None:
            raise ValueError("give a token, or a username and a password, not both")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        return self


class OpenLineageSettings(Section):
    """One destination of OpenLineage events: an address, or a transport of openlineage-python."""

    name: Name
    url: DestinationUrl | None = None
    transport: Transport | None = Field(default=None, repr=False)
    openlineage_config: Annotated[str, AfterValidator(_client_file)] | None = None
    catalog: Name | None = None
    endpoint: str | None = None
    token: Token | None = None
    timeout: Duration = timedelta(seconds=10)

    @model_validator(mode="after")
    def _one_way_there(self) -> Self:
        ways = [n for n in ("url", "transport", "openlineage_config") if getattr(self, n)]
        if len(ways) != 1:
            said = f"{' and '.join(ways)} exclude each other" if ways else "no way there is named"
            raise ValueError(
                f"{said}: give url, or transport, or openlineage_config (a transport of "
                "openlineage-python)"
            )
        given = [n for n in ("endpoint", "token") if n in self.model_fields_set]
        if self.url is None and given:
            raise ValueError(f"{given[0]} belongs to url; a transport has its own")
        return self


class SinkSettings(Section):
    """Where the history goes; either kind may be missing."""

    mlflow: MlflowSettings | None = None
    openlineage: tuple[OpenLineageSettings, ...] = ()

    @model_validator(mode="after")
    def _names_and_places_differ(self) -> Self:
        names = [sink.name for sink in self.openlineage]
        _distinct("destination named", names, lambda i: ("openlineage", i, "name"))
        of = [i for i, sink in enumerate(self.openlineage) if sink.url is not None]
        urls = [sink.url.get_secret_value() for sink in self.openlineage if sink.url is not None]
        places = [mask_url(url.rstrip("/")) for url in urls]
        _distinct("destination with the URL", places, lambda i: ("openlineage", of[i], "url"))
        return self


class StateSettings(Section):
    """Where the exporter remembers what it has done."""

    url: StateUrl


class ScheduleSettings(Section):
    """When `serve` runs a cycle: at an interval, or by a cron expression."""

    every: Duration | None = None
    cron: Annotated[str, AfterValidator(_cron)] | None = None
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if (self.every is None) == (self.cron is None):
            raise ValueError("give either every or cron")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise ValueError("every is at least 1s")
        if self.every is not None and "timezone" in self.model_fields_set:
            raise ValueError("timezone belongs to cron; an interval has none")
        return self


class RescanSettings(Section):
    """How much of the old history each cycle looks at again."""

    runs: Annotated[int, Field(ge=0, le=100_000)] = 200


class LogSettings(Section):
    """How much is logged, and in what form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Settings(Section):
    """Everything one exporter does, from one file and the environment; never changed."""

    repository: Name
    stacks: Annotated[tuple[StackSettings, ...], Field(min_length=1)]
    sinks: SinkSettings = _default()
    state: StateSettings = _default(url="sqlite:///exporter-state.db")
    schedule: ScheduleSettings = _default(every="60s")
    rescan: RescanSettings = _default()
    settle: Duration = timedelta(seconds=30)
    stale_after: Duration = timedelta(days=7)
    mappings: Annotated[str, AfterValidator(_mappings_folder)] | None = None
    log: LogSettings = _default()

    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """The file these settings were read from, if any."""
        return self._file

    @model_validator(mode="after")
    def _one_source_is_one_stack(self) -> Self:
        names = [stack.key for stack in self.stacks]
        _distinct("stack with the key", names, lambda i: ("stacks", i, "key"))
        keys: dict[str, str] = {}
        for number, stack in enumerate(self.stacks):
            source = stack.source.get_secret_value()
            if source.startswith(_READ_BACK):
                continue  # an MLflow holds many stacks, each under its key
            place = same_place(source)
            if place in keys:
                raise At(
                    ("stacks", number, "source"),
                    f"stacks {keys[place]!r} and {stack.key!r} read the same source: "
                    "one source is one stack, remove one of them",
                )
            keys[place] = stack.key
        return self

    def secrets(self) -> tuple[str, ...]:
        """Give every secret text these settings hold, so that logs can leave it out."""
        return tuple(dict.fromkeys(_secrets_in(self)))

    def masker(self) -> Masker:
        """Give the function that takes these settings' secrets out of a text."""
        mlflow = self.sinks.mlflow
        basic = (
            [(mlflow.username, mlflow.password.get_secret_value())]
            if mlflow and mlflow.username and mlflow.password
            else []
        )
        return Masker(self.secrets(), basic=basic)

    @property
    def mappings_folder(self) -> Path | None:
        """The folder whose mappings win over those that ship with the package."""
        return Path(self.mappings) if self.mappings else None


def _secrets_in(section: BaseModel) -> list[str]:
    found: list[str] = []
    for name in type(section).model_fields:
        value = getattr(section, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, BaseModel):
                found += _secrets_in(item)
            elif isinstance(item, SecretUrl):
                found += url_secrets(item.get_secret_value())
            elif isinstance(item, SecretStr):
                found.append(item.get_secret_value())
            elif name == "transport" and isinstance(item, Mapping):
                found += tree_secrets(item)
    return found
