"""A tracking database that is emptied under its server, which need not be started anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TABLES = (
    "input_tags", "inputs", "datasets", "latest_metrics", "metrics", "params", "tags", "runs",
    "logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models",
    "experiment_tags", "experiments",
)  # fmt: skip


def forget_everything(database: Path) -> None:
    """Forget every experiment and run; the next experiment has the id of the first again."""
    with closing(sqlite3.connect(database, timeout=30)) as opened:
        for table in _TABLES:
            kept = " WHERE experiment_id <> 0" if table.startswith("experiment") else ""
            opened.execute(f"DELETE FROM {table}{kept}")
        opened.commit()
