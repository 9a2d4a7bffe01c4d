"""Verifying all stacks of the settings, or some."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.errors import ConfigError, NotFound, SourceError, SourceUnavailable
from exporter.sources.open import open_stack
from exporter.sync.clock import Stop
from exporter.sync.engine import open_mlflow, quiet
from exporter.sync.policy import Mappings, stack_policy
from exporter.sync.stacks import OpenStack, refuse_own_sink
from exporter.sync.verify import StackVerification
from exporter.sync.verify_ledger import LedgerView
from exporter.sync.verify_report import VerifyReport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from exporter.config import Settings, StackSettings
    from exporter.hierarchy import PipelineRecord
    from exporter.sync.cycle import Progress
    from exporter.sync.verify_report import Difference


@dataclass(slots=True)
class Verification:
    """Compares every stack of the settings with MLflow; `stacks` counts by stack key.

    `exit_code` is 4 or 2 where a stack could not be read, whatever the others are.
    """

    settings: Settings
    pipelines: Sequence[str] = ()
    stack_keys: Sequence[str] = ()
    sizes_only: bool = False
    stop: Stop = field(default_factory=Stop)
    progress: Progress = quiet
    stacks: dict[str, VerifyReport] = field(default_factory=dict)
    exit_code: int = 0

    def differences(self) -> Iterator[Difference]:
        """Yield the differences as they are found; counts are whole at the end.

        Repeat: as often as one likes; nothing is written anywhere.
        Raises: NotFound for a stack or pipeline that is not there; ConfigError; StateError;
        SinkUnavailable, SinkTransient, SinkTerminal of MLflow.
        """
        wanted = self.settings.sinks.mlflow
        if wanted is None:
            raise ConfigError(
                "The configuration names no MLflow, so there is nothing to compare with.",
                hint="Add sinks.mlflow.tracking_uri.",
            )
        chosen = self._chosen_stacks()
        mappings = Mappings.load(self.settings)
        with ExitStack() as closing:
            sink = open_mlflow(self.settings, creates=False)
            closing.callback(sink.close)
            sink.check()
            ledger = LedgerView.of(self.settings, wanted.tracking_uri.get_secret_value())
            closing.callback(ledger.close)
            executor = closing.enter_context(ThreadPoolExecutor(wanted.threads, "verify"))
            opened = self._opened(closing, chosen, mappings)
            lost = {
                stack.key: sorted(
                    set(ledger.pipelines(stack.key)) - {record.name for record in records}
                )
                for stack, _, records in opened
            }
            self._check_names(
                {record.name for _, _, records in opened for record in records}.union(
                    *lost.values()
                )
            )
            for stack, settings, records in opened:
                work = StackVerification(
                    stack=stack,
                    reader=sink.reader(),
                    ledger=ledger,
                    naming=mappings.mlflow,
                    executor=executor,
                    stop=self.stop,
                    mask=self.settings.masker(),
                    progress=self.progress,
                    report=self.stacks[stack.key],
                    mode=settings.artifacts.mode,
                    max_size=settings.artifacts.max_size,
                    sizes_only=self.sizes_only,
                )
                try:
                    yield from work.differences(self._wanted(records))
                    for name in lost[stack.key]:
                        if not self.stop.requested and name in (self.pipelines or [name]):
                            yield from work.left_over(name)
                except SourceError as error:
                    self._failed(stack.key, error)

    def _chosen_stacks(self) -> list[StackSettings]:
        keys = [stack.key for stack in self.settings.stacks]
        for key in self.stack_keys:
            if key not in keys:
                raise NotFound.among("stack", key, keys, where="the configuration")
        return [s for s in self.settings.stacks if not self.stack_keys or s.key in self.stack_keys]

    def _opened(
        self, closing: ExitStack, chosen: Sequence[StackSettings], mappings: Mappings
    ) -> list[tuple[OpenStack, StackSettings, Sequence[PipelineRecord]]]:
        """Open the stacks and list their pipelines; what is wrong with one stops no other."""
        opened: list[tuple[OpenStack, StackSettings, Sequence[PipelineRecord]]] = []
        for stack in chosen:
            self.stacks[stack.key] = VerifyReport()
            try:
                refuse_own_sink(self.settings, stack)
                history, artifacts = open_stack(self.settings, stack)
                closing.callback(history.close)
                records = history.pipelines()
            except (SourceError, ConfigError) as error:
                self._failed(stack.key, error)
                continue
            policy = stack_policy(mappings, stack)
            opened.append((OpenStack(stack.key, history, artifacts, policy), stack, records))
        return opened

    def _check_names(self, names: Collection[str]) -> None:
        for name in self.pipelines if not self.exit_code else ():
            if name not in names:
                raise NotFound.among("pipeline", name, sorted(names), where="the sources")

    def _wanted(self, records: Sequence[PipelineRecord]) -> list[PipelineRecord]:
        return [r for r in records if not self.pipelines or r.name in self.pipelines]

    def _failed(self, key: str, error: SourceError | ConfigError) -> None:
        mask = self.settings.masker()
        self.stacks[key].errors.append({"stack": key, "error": mask(str(error))})
        code = 4 if isinstance(error, SourceUnavailable) else 2
        self.exit_code = max(self.exit_code, code)
