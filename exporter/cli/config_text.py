"""The text of a new configuration: every setting explained, what was not found commented out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.cli.discover import FoundStore

_TRACKING_SCHEMES = ("http://", "https://", "sqlite:///", "postgresql", "mysql", "mssql")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the environment says of the sinks: addresses without credentials, and variable names."""

    tracking_uri: str = ""
    tracking_is_secret: bool = False
    lineage_url: str = ""
    lineage_endpoint: str = ""
    variables: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def usable_tracking_uri(self) -> str:
        """Give the tracking URI if the exporter can write to it, else ''."""
        uri = self.tracking_uri
        return uri if uri.startswith(_TRACKING_SCHEMES) else ""


def config_text(
    repository: str, stacks: Sequence[tuple[str, FoundStore]], around: Surroundings
) -> str:
    """Write the configuration; it loads as it is."""
    lines = [
        "# The configuration of pipeline-exporter, written by `pipeline-exporter init`.",
        "#",
        "# A commented line that holds a setting shows its default, or an example of one that has",
        "# none. Any text may be ${VARIABLE} (the environment) or {file: path} (a file's content).",
        "# Relative paths start at this file's folder. Check it: pipeline-exporter doctor",
        "",
        "# Part of every identity: two services with two names never meet. Choose it once.",
        f"repository: {quoted(repository)}",
        "",
        "# One entry for each source of history.",
        "stacks:",
    ]
    for key, store in stacks:
        lines += _stack(key, store)
    if not stacks:
        lines += _no_stack()
    lines += ["", *_sinks(around), "", *_REST]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Spell a text so that YAML and the reading of variables give it back unchanged."""
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False)


def _stack(key: str, store: FoundStore) -> Iterator[str]:
    sample, reached = store.sample, store.reached
    yield "  # The stack_key of the API, part of every identity as well."
    yield f"  - key: {quoted(key)}"
    yield f"    # ML Metadata schema {store.schema}: {sample.text()}."
    yield f"    source: {quoted(store.source)}"
    yield "    # auto looks at each run; a name such as zenml-0.5 or tfx holds for the whole stack."
    yield "    #flavour: auto"
    yield "    # Where the tool's own files are (.zen, stacks.yaml), if not near the store."
    yield "    #sidecars: /srv/zenml/repo"
    yield "    artifacts:"
    yield "      # copy puts the files into MLflow, reference records where they are."
    yield "      mode: copy"
    yield "      # A larger artifact is recorded, not copied."
    yield "      #max_size: 2 GiB"
    yield "      # The only places artifacts are read from."
    yield f"      roots: [{quoted(str(store.root))}]"
    yield "      # Recorded prefix: where it is now. For stores that were moved or copied."
    if store.rewrite is None:
        yield "      #rewrite: {/data/zenml: /srv/zenml}"
    else:
        yield f"      rewrite: {{{quoted(store.rewrite.old)}: {quoted(store.rewrite.new)}}}"
    yield f"      # Of {reached.total} artifacts looked for, {reached.found} are there."


def _no_stack() -> Iterator[str]:
    yield "  # No store was found. The stack_key of the API, part of every identity as well:"
    yield "  - key: default"
    yield "    # mlmd+<SQLAlchemy URL>; SQLite: three slashes and a relative path, four and an"
    yield "    # absolute one; or mlmd+mysql://…, mlmd+postgresql://…"
    yield "    source: mlmd+sqlite:///metadata.db"
    yield "    #flavour: auto"
    yield "    #sidecars: /srv/zenml/repo"
    yield "    #artifacts:"
    yield "      #mode: copy"
    yield "      #max_size: 2 GiB"
    yield "      #roots: [/srv/zenml]"
    yield "      #rewrite: {/data/zenml: /srv/zenml}"


def _sinks(around: Surroundings) -> Iterator[str]:
    yield "sinks:"
    yield from _mlflow(around)
    yield "  openlineage:"
    yield "    # A file of JSON lines, or http(s)://. Any number, each with its own name."
    yield "    - name: events"
    yield "      url: openlineage-events.jsonl"
    if not around.lineage_url:
        yield "    #- name: marquez"
        yield "      #url: http://127.0.0.1:5000"
        yield "      #catalog: marquez"
        yield "      #endpoint: api/v1/lineage"
        yield "      #token: ${OPENLINEAGE_API_KEY}"
        yield "      #timeout: 10s"
        return
    yield "    - name: catalog"
    yield "      # OPENLINEAGE_URL"
    yield f"      url: {quoted(around.lineage_url)}"
    yield "      #catalog: marquez"
    endpoint = around.lineage_endpoint
    yield f"      endpoint: {quoted(endpoint)}" if endpoint else "      #endpoint: api/v1/lineage"
    hidden = "" if "OPENLINEAGE_API_KEY" in around.variables else "#"
    yield f"      {hidden}token: ${{OPENLINEAGE_API_KEY}}"
    yield "      #timeout: 10s"


def _mlflow(around: Surroundings) -> Iterator[str]:
    uri = around.usable_tracking_uri
    if not uri:
        yield "  # MLFLOW_TRACKING_URI names no MLflow to write to. A server's address or"
        yield "  # a tracking database's SQLAlchemy URL:"
        yield "  #mlflow:"
        yield "    #tracking_uri: http://127.0.0.1:5000"
        yield "    #username: ${MLFLOW_TRACKING_USERNAME}"
        yield "    #password: ${MLFLOW_TRACKING_PASSWORD}"
        yield "    #token: {file: /run/secrets/mlflow-token}"
        yield "    #threads: 4"
        return
    names = around.variables
    token = "MLFLOW_TRACKING_TOKEN" in names
    login = not token and {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} <= names
    yield "  mlflow:"
    if around.tracking_is_secret:
        yield "    # It holds credentials, which stay in the environment."
        yield "    tracking_uri: ${MLFLOW_TRACKING_URI}"
    else:
        yield "    # MLFLOW_TRACKING_URI"
        yield f"    tracking_uri: {quoted(uri)}"
    yield "    # Either a username and a password, or a token."
    yield f"    {'' if login else '#'}username: ${{MLFLOW_TRACKING_USERNAME}}"
    yield f"    {'' if login else '#'}password: ${{MLFLOW_TRACKING_PASSWORD}}"
    yield f"    {'' if token else '#'}token: ${{MLFLOW_TRACKING_TOKEN}}"
    yield "    # Connections at once."
    yield "    #threads: 4"


_REST = """\
# Where the exporter remembers what it has done: SQLite, or postgresql+psycopg://…
state:
  url: sqlite:///exporter-state.db

# When `serve` looks for news: an interval, or a cron expression (UTC unless a timezone is set).
schedule:
  every: 60s
  #cron: "*/5 * * * *"
  #timezone: Europe/Berlin

# How many old runs each cycle looks at again, for changes that moved no timestamp.
#rescan:
  #runs: 200

# A run counts as ended once nothing in it has changed for this long.
#settle: 30s
# A run that goes on for longer is reported as stale.
#stale_after: 7d

# A folder of changed copies of the files in mappings/; they win, file by file.
#mappings: /etc/pipeline-exporter/mappings

#log:
  # debug, info, warning or error.
  #level: info
  # auto is console on a terminal and json elsewhere.
  #format: auto
""".splitlines()
