"""A tracking API that ends before or after its n-th write, as a killed process does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.sinks.mlflow.api import TrackingApi

WRITES = {
    "create_run", "update_run", "log_batch", "log_inputs", "delete_run", "delete_tag", "put_file",
}  # fmt: skip
MODEL_WRITES = {
    "create", "log_params", "finish", "link", "set_tags", "delete", "create_version",
    "delete_version", "set_alias",
}  # fmt: skip
NEVER = 0  # no write has this number


def kill_points(writes: int, *, after: bool, every: int) -> list[int]:
    """Give the first write, the last, and of those between one in twice `every`.

    After a write is before the next: those before and those after together come every `every`.
    """
    return sorted({1, *range((every if after else 1) + 1, writes, 2 * every), writes})


class Killed(BaseException):
    """The process ends here."""


class Interrupted:
    """A tracking API that ends before or after its n-th write, those about models included."""

    def __init__(self, api: TrackingApi, at: int, *, after: bool) -> None:
        self._api = api
        self._left = at
        self._after = after
        self.writes = 0

    def __getattr__(self, name: str) -> Any:  # Any: whatever the real API has there
        real = getattr(self._api, name)
        if name in {"models", "registry"}:
            return _Part(real, self._counted)
        return self._counted(real) if name in WRITES else real

    def _counted(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            self._left -= 1
            self.writes += 1
            if self._left == 0 and not self._after:
                raise Killed
            answer = real(*args, **named)
            if self._left == 0:
                raise Killed
            return answer

        return call


class _Part:
    """The calls for logged or for registered models."""

    def __init__(
        self, real: object, counted: Callable[[Callable[..., object]], Callable[..., object]]
    ) -> None:
        self._real = real
        self._counted = counted

    def __getattr__(self, name: str) -> Any:  # Any: whatever the real one has there
        real = getattr(self._real, name)
        return self._counted(real) if name in MODEL_WRITES else real
