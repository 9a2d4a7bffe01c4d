"""`status`: how far each stack and each sink is, by the ledger alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from exporter.cli.context import mask, read_settings
from exporter.cli.output import counted, one_line, print_json, print_line
from exporter.cli.tables import print_table
from exporter.hierarchy import iso_from_ms
from exporter.ledger import Ledger
from exporter.sinks.openlineage import SINK_PREFIX
from exporter.sync.experiments import deleted_pipelines
from exporter.sync.mlflow_export import mlflow_sink_name

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config import Settings
    from exporter.ledger import RescanTurn

JsonObject = dict[str, Any]  # Any: JSON values


def show_status(config: Path | None, *, as_json: bool) -> int:
    """Show the ledger's view; 1 while any dead letter is open."""
    settings = read_settings(config)
    shown = _status(settings)
    if as_json:
        print_json(shown)
    else:
        _draw(shown)
    return 1 if shown["dead_letters"] else 0


def _status(settings: Settings) -> JsonObject:
    ledger = Ledger.open_existing(settings.state.url.get_secret_value(), settings.repository)
    if ledger is None:
        return _nothing_yet(settings)
    now_ms = time.time_ns() // 1_000_000
    with ledger:
        letters = ledger.dead.letters()
        cycles = ledger.cycles.last(5)
        holder = ledger.leases.holder()
        return {
            "ok": not letters,
            "repository": settings.repository,
            "stacks": {s.key: _stack(ledger, settings, s.key, now_ms) for s in settings.stacks},
            "openlineage": {
                d.name: _destination(ledger, SINK_PREFIX + d.name)
                for d in settings.sinks.openlineage
            }
            or None,
            "dead_letters": len(letters),
            "leader": None
            if holder is None or holder.expires_in_s <= 0
            else {"owner": holder.owner, "expires_in_s": round(holder.expires_in_s, 1)},
            "cycles": [
                {
                    "started": iso_from_ms(c.started_ms),
                    "seconds": round((c.ended_ms - c.started_ms) / 1000, 3),
                    "ok": c.ok,
                    "units": c.report.get("units"),
                    "errors": [mask(str(e.get("error", ""))) for e in c.report.get("errors", [])][
                        :5
                    ],
                }
                for c in cycles
            ],
        }


def _destination(ledger: Ledger, sink: str) -> JsonObject:
    trouble = ledger.outbox.trouble(sink)
    shown = None
    if trouble is not None:
        shown = {
            "status": trouble.status,
            "answer": mask(trouble.response),
            "next_try": iso_from_ms(trouble.next_at),
        }
    return {**ledger.outbox.counts(sink)._asdict(), "trouble": shown}


def _nothing_yet(settings: Settings) -> JsonObject:
    return {
        "ok": True,
        "repository": settings.repository,
        "stacks": {stack.key: None for stack in settings.stacks},
        "openlineage": None,
        "dead_letters": 0,
        "leader": None,
        "cycles": [],
    }


def _stack(ledger: Ledger, settings: Settings, key: str, now_ms: int) -> JsonObject:
    totals = ledger.units.totals(key)
    mlflow = settings.sinks.mlflow
    names = {SINK_PREFIX + d.name: d.name for d in settings.sinks.openlineage}
    deleted: list[str] = []
    if mlflow is not None:
        sink = mlflow_sink_name(mlflow.tracking_uri.get_secret_value())
        names[sink] = "mlflow"
        deleted = deleted_pipelines(ledger.units.cursor(key).cursor, sink)
    stale_ms = int(settings.stale_after.total_seconds() * 1000)
    return {
        "pipelines": totals.pipelines,
        "runs": totals.runs,
        "steps": totals.steps,
        "artifacts": totals.artifacts,
        "waiting": totals.waiting,
        "stale": ledger.units.count_stale(key, before_ms=now_ms - stale_ms),
        "dead": totals.dead,
        "deleted_in_mlflow": deleted,
        "sinks": {
            shown: {"done": totals.done.get(sink, 0), "pending": totals.pending.get(sink, 0)}
            for sink, shown in names.items()
        },
        "rescan": _turn(ledger.units.turn(key), totals.runs, settings),
    }


def _turn(turn: RescanTurn, runs: int, settings: Settings) -> JsonObject:
    """Say how long a full turn of the rolling re-scan takes: by the schedule, and as measured."""
    measured = None
    if turn.last_began_ms is not None and turn.last_ended_ms is not None:
        measured = (turn.last_ended_ms - turn.last_began_ms) / 1000
    every = settings.schedule.every
    expected = None
    if every is not None and settings.rescan.runs:
        expected = -(-runs // settings.rescan.runs) * every.total_seconds()
    return {"full_turn_expected_s": expected, "last_full_turn_s": measured}


def _draw(shown: JsonObject) -> None:
    rows = []
    for key, stack in shown["stacks"].items():
        if stack is None:
            rows.append((key, "nothing synced yet", "", "", ""))
            continue
        sinks = ", ".join(
            f"{n}: {s['done']:,} done, {s['pending']:,} pending" for n, s in stack["sinks"].items()
        )
        rows.append(
            (
                key,
                ", ".join(
                    counted(stack[f"{what}s"], what)
                    for what in ("pipeline", "run", "step", "artifact")
                ),
                sinks,
                f"{stack['waiting']:,} waiting, {stack['stale']:,} stale, {stack['dead']:,} dead",
                _duration(stack["rescan"]["full_turn_expected_s"]),
            )
        )
    print_table(
        f"repository {shown['repository']}",
        ("stack", "history", "sinks", "runs", "full re-scan takes"),
        rows,
    )
    for key, stack in shown["stacks"].items():
        for pipeline in (stack or {}).get("deleted_in_mlflow", []):
            print_line(
                f"{key}: the experiment of pipeline {pipeline!r} was deleted in MLflow; "
                "`pipeline-exporter run --repair` brings it back"
            )
    for name, counts in (shown["openlineage"] or {}).items():
        print_line(
            f"openlineage {name}: {counts['delivered']:,} delivered, "
            f"{counts['pending']:,} pending, {counts['dead']:,} dead"
        )
        if trouble := counts["trouble"]:
            status = "" if trouble["status"] is None else f"HTTP {trouble['status']}: "
            said = one_line(trouble["answer"])[:_SAID] or "no reason"
            print_line(f"  next try {trouble['next_try']}, after {status}{said}")
    if shown["leader"]:
        print_line(f"leader: {shown['leader']['owner']}")
    for cycle in shown["cycles"][:1]:
        why = "; ".join(cycle["errors"]) or "something is a dead letter"
        verdict = "ok" if cycle["ok"] else f"not ok: {why}"
        print_line(f"last cycle: {cycle['started']}, {cycle['seconds']} s, {verdict}")
    if shown["dead_letters"]:
        print_line(f"dead letters: {shown['dead_letters']}; see `pipeline-exporter dead list`")


_SAID = 200  # characters of a destination's answer that are shown


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 3600:,.1f} h"
