"""The command with its state in a real PostgreSQL, as a deployment of several replicas has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.command import run_command, write_zenml_config

from exporter.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


def test_the_state_lives_in_postgresql_from_upgrade_to_status(
    tmp_path: Path, postgres_url: str
) -> None:
    write_zenml_config(tmp_path, more=f"state: {{url: '{postgres_url}'}}")
    upgraded = run_command("state", "upgrade", cwd=tmp_path)
    assert upgraded.code == 0, upgraded.err
    first = run_command("run", "--json", cwd=tmp_path)
    assert first.code == 0, first.err
    assert first.json["units"]["written"] == 7
    assert first.json["openlineage"]["delivered"] == 46
    again = run_command("run", "--json", cwd=tmp_path).json
    assert (again["units"]["written"], again["openlineage"]["queued"]) == (0, 0)
    status = run_command("status", "--json", cwd=tmp_path)
    assert (status.code, status.json["ok"]) == (0, True)
    assert run_command("dead", "list", "--json", cwd=tmp_path).code == 0
    assert not (tmp_path / "exporter-state.db").exists()


def test_a_leader_in_postgresql_keeps_a_second_process_out(
    tmp_path: Path, postgres_url: str
) -> None:
    write_zenml_config(tmp_path, more=f"state: {{url: '{postgres_url}'}}")
    assert run_command("state", "upgrade", cwd=tmp_path).code == 0
    with Ledger.open(postgres_url) as ledger:
        lease = ledger.leases.acquire("another pod", 600)
        held = run_command("run", "--json", cwd=tmp_path)
        assert (held.code, held.json["error"]["kind"]) == (3, "LeaseHeld")
        assert "another pod" in held.json["error"]["message"]
        ledger.leases.release(lease)
    assert run_command("run", cwd=tmp_path).code == 0
