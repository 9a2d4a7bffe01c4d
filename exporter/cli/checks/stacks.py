"""Whether a stack's source opens and is understood, and its artifacts are where they should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.checks.check import Check
from exporter.cli.prefixes import folders_near, guess_rewrite, local_path
from exporter.cli.samples import look_at, reach
from exporter.errors import ConfigError, SourceError
from exporter.sources.artifacts import default_roots
from exporter.sources.mlmd import MlmdHistory
from exporter.sources.mlmd.sqlite_file import sqlite_path
from exporter.sources.open import open_stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.cli.samples import Reached, Sample
    from exporter.config import Settings, StackSettings
    from exporter.history.ports import ArtifactReader, ChangeFeed


def check_stack(settings: Settings, stack: StackSettings) -> Iterator[Check]:
    """Open a stack and look at its runs, roots and newest artifacts."""
    part = f"stack {stack.key}"
    try:
        history, reader = open_stack(settings, stack)
    except (ConfigError, SourceError) as error:
        yield Check.problem(part, error)
        return
    try:
        sample = look_at(history)
        yield _about(part, history, sample)
        yield from _unreadable(part, sample)
        yield from _sidecars(part, stack)
        if isinstance(history, MlmdHistory):
            yield from _artifacts(part, stack, sample, reader)
    except SourceError as error:
        yield Check.problem(part, error)
    finally:
        history.close()


def _about(part: str, history: ChangeFeed, sample: Sample) -> Check:
    message = f"exported to MLflow: {sample.text()}"
    if isinstance(history, MlmdHistory):
        active = f", active stack {history.active_stack!r}" if history.active_stack else ""
        message = f"ML Metadata schema {history.schema} at {history.place}: {sample.text()}{active}"
    if sample.runs:
        return Check.ok(part, message)
    return Check.warning(part, message, "It holds no runs yet; is it the right database?")


def _unreadable(part: str, sample: Sample) -> Iterator[Check]:
    for reason, count in sample.unreadable.items():
        yield Check.warning(
            part,
            f"{count} of {sample.looked_at} runs cannot be read: {reason}",
            "They become dead letters; the rest is exported.",
        )


def _sidecars(part: str, stack: StackSettings) -> Iterator[Check]:
    if stack.sidecars is not None and not Path(stack.sidecars).is_dir():
        yield Check.warning(
            part,
            f"sidecars: there is no folder {stack.sidecars}",
            "Docstrings, versions and the active stack are left out; correct or remove `sidecars`.",
        )


def _artifacts(
    part: str, stack: StackSettings, sample: Sample, reader: ArtifactReader
) -> Iterator[Check]:
    part = f"{part} artifacts"
    policy = stack.artifacts
    if policy.mode == "reference":
        yield Check.ok(part, "recorded where they are, not copied")
        return
    url = stack.source.get_secret_value().removeprefix("mlmd+")
    roots = default_roots(url) if policy.roots is None else policy.roots
    if not roots:
        yield Check.warning(
            part,
            "there are no roots, so every artifact is refused and only its URI recorded",
            "Name the folders or buckets of the artifacts in `artifacts.roots`, "
            "or set `artifacts.mode: reference`.",
        )
    for root in roots:
        if "://" not in root and not Path(root).is_dir():
            yield Check.warning(
                part, f"there is no folder {root}", "Correct it in `artifacts.roots`."
            )
    if not sample.artifacts:
        return
    reached = reach(list(sample.artifacts.values()), reader)
    message = (
        f"of the {reached.total} newest: {reached.found} found, {len(reached.refused)} refused, "
        f"{len(reached.missing)} missing, {len(reached.corrupt)} unreadable"
    )
    if reached.found == reached.total:
        yield Check.ok(part, message)
    else:
        yield Check.warning(part, message, _advice(url, roots, reached))


def _advice(url: str, roots: Sequence[str], reached: Reached) -> str:
    """Say what would bring the lost artifacts back."""
    lost = [*reached.missing, *reached.refused]
    folders = [Path(root) for root in roots if "://" not in root]
    if url.startswith("sqlite"):
        folders += [f for f in folders_near(sqlite_path(url)) if f not in folders]
    there = [uri for uri in reached.refused if (p := local_path(uri)) and Path(p).exists()]
    if there:
        return (
            f"They are there: add {Path(there[0]).parent} or a folder above to `artifacts.roots`."
        )
    guess = guess_rewrite(lost, folders)
    if guess is not None:
        within = any(Path(guess.new).is_relative_to(root) for root in folders[: len(roots)])
        root = "" if within else f" and `roots: [{guess.new}]`"
        return (
            f"`artifacts.rewrite: {{{guess.old}: {guess.new}}}`{root} would find "
            f"{guess.found} of them."
        )
    example = next(iter(lost or reached.corrupt))
    return (
        f"Such as {example!r}: say in `artifacts.rewrite` where its prefix is now, "
        "and in `artifacts.roots` what may be read."
    )
