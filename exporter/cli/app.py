"""The verbs of `pipeline-exporter` and their options; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from exporter.cli.exits import show_error
from exporter.cli.signals import INTERRUPTED
from exporter.errors import ExporterError

if TYPE_CHECKING:
    from collections.abc import Callable


def _group(text: str) -> typer.Typer:
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _group("Keep ML pipeline history in sync with MLflow and OpenLineage catalogs.")
dead_app = _group("Look after what will not be tried again by itself.")
state_app = _group("Look after the state database.")
app.add_typer(dead_app, name="dead")
app.add_typer(state_app, name="state")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="PATH",
        help="The configuration file; else $EXPORTER_CONFIG, else ./exporter.yaml.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Ids = Annotated[
    list[int] | None, typer.Argument(metavar="ID", help="Ids as `dead list` shows them.")
]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Keep ML pipeline history in sync with MLflow and OpenLineage catalogs."""


def _example(words: str) -> str:
    return f"Example: pipeline-exporter {words}"


def _ending(work: Callable[[], int], *, as_json: bool) -> NoReturn:
    """Do the work and leave with its exit code; a nameable error becomes one line."""
    try:
        code = work()
    except ExporterError as error:
        code = show_error(error, as_json=as_json)
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)


@app.command("run", epilog=_example("run --config exporter.yaml --json"))
def run_verb(
    config: Config = None,
    as_json: Json = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read the whole history again, and look for vanished runs."),
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what was deleted or edited in MLflow.")
    ] = False,
) -> None:
    """Bring the sinks up to date once; for cron, a CronJob, or by hand."""

    def work() -> int:
        from exporter.cli.run import run_once

        return run_once(config, as_json=as_json, full=full, repair=repair)

    _ending(work, as_json=as_json)


@app.command(epilog=_example("serve --config exporter.yaml"))
def serve(
    config: Config = None,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring an older state database up to date first.")
    ] = False,
) -> None:
    """Run cycles on the configured schedule until told to stop."""

    def work() -> int:
        from exporter.cli.serve import serve_forever

        return serve_forever(config, migrate=migrate)

    _ending(work, as_json=False)


@app.command(epilog=_example("plan --limit 5"))
def plan(
    config: Config = None,
    as_json: Json = False,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, help="Show at most this many runs in full."),
    ] = 20,
) -> None:
    """Show what `run` would write, and write nothing."""

    def work() -> int:
        from exporter.cli.plan import show_plan

        return show_plan(config, as_json=as_json, limit=limit)

    _ending(work, as_json=as_json)


@app.command(epilog=_example("verify --pipeline train_pipeline"))
def verify(
    config: Config = None,
    as_json: Json = False,
    pipeline: Annotated[
        list[str] | None,
        typer.Option("--pipeline", metavar="NAME", help="Only this pipeline; may be repeated."),
    ] = None,
    stack: Annotated[
        list[str] | None,
        typer.Option("--stack", metavar="NAME", help="Only this stack; may be repeated."),
    ] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Compare files by size; read none of them.")
    ] = False,
) -> None:
    """Compare the sources with what MLflow holds; 1 on a difference."""

    def work() -> int:
        from exporter.cli.verify import verify as compare

        return compare(
            config, as_json=as_json, pipelines=pipeline or [], stacks=stack or [], sizes_only=sizes
        )

    _ending(work, as_json=as_json)


@app.command(epilog=_example("status --json"))
def status(config: Config = None, as_json: Json = False) -> None:
    """Show how far each stack is; 1 while dead letters are open."""

    def work() -> int:
        from exporter.cli.status import show_status

        return show_status(config, as_json=as_json)

    _ending(work, as_json=as_json)


@app.command(epilog=_example("init --search /srv/zenml"))
def init(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Where to write the configuration.")
    ] = Path("exporter.yaml"),
    as_json: Json = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    search: Annotated[
        list[Path] | None,
        typer.Option(
            "--search",
            metavar="PATH",
            help="A folder to look for stores in, may be repeated; else here and ~/.config/zenml.",
        ),
    ] = None,
) -> None:
    """Write a commented configuration by looking at what is here."""

    def work() -> int:
        from exporter.cli.init import write_config

        return write_config(path, as_json=as_json, force=force, search=search or [])

    _ending(work, as_json=as_json)


@app.command(epilog=_example("doctor --config exporter.yaml"))
def doctor(config: Config = None, as_json: Json = False) -> None:
    """Check every part of a configuration and say what to do."""

    def work() -> int:
        from exporter.cli.doctor import examine

        return examine(config, as_json=as_json)

    _ending(work, as_json=as_json)


@app.command(epilog=_example("demo --folder try-it"))
def demo(
    folder: Annotated[Path, typer.Option("--folder", metavar="PATH", help="Where to work.")] = Path(
        "demo"
    ),
    as_json: Json = False,
) -> None:
    """Sync a small bundled history into a local MLflow and a file."""

    def work() -> int:
        from exporter.cli.demo import run_demo

        return run_demo(folder, as_json=as_json)

    _ending(work, as_json=as_json)


@app.command(epilog=_example("version --json"))
def version(as_json: Json = False) -> None:
    """Show the version."""

    def work() -> int:
        from exporter.cli.version import show_version

        return show_version(as_json=as_json)

    _ending(work, as_json=as_json)


@dead_app.command("list", epilog=_example("dead list"))
def dead_list(config: Config = None, as_json: Json = False) -> None:
    """List dead letters; exit 1 while there are any."""

    def work() -> int:
        from exporter.cli.dead import list_letters

        return list_letters(config, as_json=as_json)

    _ending(work, as_json=as_json)


@dead_app.command("retry", epilog=_example("dead retry 3 4"))
def dead_retry(
    ids: Ids = None, config: Config = None, everything: All = False, as_json: Json = False
) -> None:
    """Send dead letters back; the next cycle tries them again."""

    def work() -> int:
        from exporter.cli.dead import retry_letters

        return retry_letters(config, ids or [], everything=everything, as_json=as_json)

    _ending(work, as_json=as_json)


@dead_app.command("drop", epilog=_example("dead drop --all"))
def dead_drop(
    ids: Ids = None, config: Config = None, everything: All = False, as_json: Json = False
) -> None:
    """Give dead letters up; dealt with until their run changes."""

    def work() -> int:
        from exporter.cli.dead import drop_letters

        return drop_letters(config, ids or [], everything=everything, as_json=as_json)

    _ending(work, as_json=as_json)


@state_app.command("upgrade", epilog=_example("state upgrade"))
def state_upgrade(config: Config = None, as_json: Json = False) -> None:
    """Create the state database or bring it up to this release."""

    def work() -> int:
        from exporter.cli.state import upgrade_state

        return upgrade_state(config, as_json=as_json)

    _ending(work, as_json=as_json)
