"""Every file of deploy/ passes the tool that can check it, and says only what the command knows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import load_settings
from exporter.config.cron import cron_problem

_ROOT = Path(__file__).resolve().parents[2]
_DEPLOY = _ROOT / "deploy"
_COMMAND = Path(sys.executable).with_name("pipeline-exporter")
_MANIFESTS = sorted((_DEPLOY / "k8s").glob("*.yaml"))
_KUBERNETES_VERSIONS = ("1.29", "1.34")

pytestmark = pytest.mark.deploy


def _tool(name: str, how: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here; {how}")
    return found


def _from_python(name: str) -> str:
    return _tool(name, "`make ci-tools` installs it on Linux (x86_64)")


def _check(*command: str | Path, **options: Any) -> None:  # Any: subprocess.run's own options
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _documents() -> Iterator[dict[str, Any]]:  # Any: YAML values
    for path in _MANIFESTS:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def _pods() -> list[dict[str, Any]]:  # Any: YAML values
    pods = []
    for document in _documents():
        spec = document.get("spec", {})
        if document["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            pods.append(spec["template"]["spec"])
    return pods


def _compose() -> dict[str, Any]:  # Any: YAML values
    value = yaml.safe_load((_DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def test_the_dockerfile_passes_hadolint() -> None:
    _check(_from_python("hadolint"), "--failure-threshold", "info", _DEPLOY / "Dockerfile")


def test_the_dockerfile_copies_only_what_the_context_lets_through() -> None:
    text = (_DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = (_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!").split("/")[0] for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, flags=re.MULTILINE):
        copied.update(part.rstrip("/") for part in line.split()[:-1])
    assert copied == allowed
    assert all((_ROOT / name).exists() for name in copied)


def test_the_image_is_not_run_by_root() -> None:
    text = (_DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.+)$", text, flags=re.MULTILINE) == ["65532:65532"]


def test_the_compose_file_passes_docker_compose() -> None:
    _check(_from_python("docker-compose"), "-f", _DEPLOY / "compose.yaml", "config", "--quiet")


def test_compose_waits_for_health_before_it_starts_the_exporter() -> None:
    services = _compose()["services"]
    waits = services["exporter"]["depends_on"]
    assert set(waits) == {"postgres", "mlflow"}
    for name, condition in waits.items():
        assert condition == {"condition": "service_healthy"}
        assert services[name]["healthcheck"]["test"]


def test_compose_starts_an_mlflow_server_that_knows_its_options() -> None:
    from mlflow.cli import cli

    command = cli.commands["server"]
    known = {option for parameter in command.params for option in parameter.opts}
    used = {part.split("=")[0] for part in _compose()["services"]["mlflow"]["command"]}
    assert used <= known


def test_the_configuration_in_compose_loads() -> None:
    environ = {"POSTGRES_PASSWORD": "secret"}
    settings = load_settings(_DEPLOY / "compose.exporter.yaml", environ=environ)
    assert settings.state.url.get_secret_value().startswith("postgresql+psycopg://")


@pytest.mark.parametrize("version", _KUBERNETES_VERSIONS)
@pytest.mark.parametrize("path", _MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_passes_the_api_s_schema(path: Path, version: str) -> None:
    _check(_from_python("kubernetes-validate"), "--strict", "-k", version, path)


def test_the_configuration_in_the_config_map_loads(tmp_path: Path) -> None:
    documents = {document["kind"]: document for document in _documents()}
    file = tmp_path / "exporter.yaml"
    file.write_text(documents["ConfigMap"]["data"]["exporter.yaml"], encoding="utf-8")
    secrets = documents["Secret"]["stringData"]
    assert load_settings(file, environ=secrets).stacks
    for name in secrets:
        assert f"${{{name}}}" in file.read_text(encoding="utf-8")


def test_one_cycle_at_a_time_and_none_is_started_too_late() -> None:
    (job,) = [document["spec"] for document in _documents() if document["kind"] == "CronJob"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["startingDeadlineSeconds"] > 10  # below that the controller may never start one
    assert cron_problem(job["schedule"]) == ""


def test_no_pod_has_more_rights_than_it_needs() -> None:
    pods = _pods()
    assert len(pods) == 2
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["capabilities"] == {"drop": ["ALL"]}


def _commands() -> list[list[str]]:
    found = [
        container["args"]
        for pod in _pods()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    ]
    found.append(_compose()["services"]["exporter"]["command"])
    dockerfile = (_DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    found += [yaml.safe_load(line) for line in re.findall(r"^CMD (.+)$", dockerfile, re.MULTILINE)]
    for path in ("cron/pipeline-exporter.cron", "systemd/pipeline-exporter.service"):
        text = (_DEPLOY / path).read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        found += [
            match[1].split()
            for line in lines
            if (match := re.search(r"exporter ([a-z][^|]*)", line))
        ]
    return found


def test_every_command_in_these_files_is_one_that_the_program_knows() -> None:
    commands = _commands()
    assert len(commands) >= 7
    for command in {tuple(command) for command in commands}:
        _check(_COMMAND, *command, "--help")


def test_the_image_names_the_released_version() -> None:
    from exporter._version import __version__

    images = {
        container["image"]
        for pod in _pods()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    }
    assert images == {f"pipeline-exporter:{__version__}"}


def test_the_crontab_passes_crontab() -> None:
    crontab = _tool("crontab", "install cron")
    help_text = subprocess.run([crontab, "-h"], capture_output=True, text=True, check=False)
    if "dry run" not in help_text.stderr + help_text.stdout:
        pytest.skip("this crontab has no dry run; Debian's cron has")
    _check(crontab, "-n", _DEPLOY / "cron" / "pipeline-exporter.cron")


def test_the_crontab_runs_at_times_that_exist() -> None:
    text = (_DEPLOY / "cron" / "pipeline-exporter.cron").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"[\d*]", line)]
    assert len(lines) == 1
    assert cron_problem(" ".join(lines[0].split()[:5])) == ""


def test_the_unit_passes_systemd_analyze(tmp_path: Path) -> None:
    analyze = _tool("systemd-analyze", "install systemd")
    text = (_DEPLOY / "systemd" / "pipeline-exporter.service").read_text(encoding="utf-8")
    installed = "/opt/pipeline-exporter/bin/pipeline-exporter"
    assert installed in text
    unit = tmp_path / "pipeline-exporter.service"
    unit.write_text(text.replace(installed, str(_COMMAND)), encoding="utf-8")
    _check(analyze, "verify", unit)
