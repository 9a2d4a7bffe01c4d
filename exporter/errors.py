"""The error tree: named by what happened, grouped by what the caller does about it.

::

    ExporterError
      ConfigError                    the user fixes the settings; no retry
      NotFound (also KeyError)       names the near misses
      AmbiguousName (also KeyError)  lists the candidates
      SourceError
        SourceUnavailable            retry later
        StoreUnreadable              not a store, too old, too new, corrupt: stop this source
        UnknownFlavour               this run's encoding is not known: dead letter, the rest goes on
        SourceDoubted                it holds nothing of what it held: ask, believe nothing
      SinkError
        SinkTransient                retry with back-off
          SinkRateLimited            retry after `.retry_after_s`
        SinkTerminal                 dead letter
          DeletedInSink              somebody deleted it there: it stays so, and is reported
        SinkUnavailable              the whole sink is out of reach: stop asking it in this cycle
      ArtifactError                  the unit goes on, the error is recorded on it
        UnsafeArtifact
        CorruptArtifact
        ArtifactTooLarge
        MissingArtifact
      StateError
        StateUnavailable             the ledger's database cannot be reached
        LeaseHeld                    another process leads
        LeaseLost                    stop at once, write nothing
        SchemaTooNew                 a newer release wrote the ledger: refuse to start
        SchemaTooOld                 the ledger wants `state upgrade`

Every error says what happened and to what; `hint` says what to do next. `context` holds ids, never
secrets. This module is a leaf: it imports nothing of the package.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExporterError(Exception):
    """Something the product can name went wrong; the message is for the user."""

    def __init__(self, message: str, *, hint: str = "", **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip() if self.hint else self.message


class ConfigError(ExporterError):
    """The settings are wrong; nothing was started."""


class NotFound(ExporterError, KeyError):
    """A name that is not there; the message lists the near misses."""

    @classmethod
    def among(cls, kind: str, name: object, names: Iterable[str], *, where: str = "") -> NotFound:
        """Build the error for `name` missing among `names`, nearest first; no text is no name."""
        known = list(names)
        near: list[str] = []
        if isinstance(name, str):
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        place = f" in {where}" if where else ""
        if near:
            hint = "Did you mean " + " or ".join(repr(n) for n in near) + "?"
        elif known:
            shown = ", ".join(repr(n) for n in known[:10])
            hint = f"There are: {shown}" + (
                f" and {len(known) - 10} more." if len(known) > 10 else "."
            )
        else:
            hint = f"There is no {kind}{place}."
        message = f"No {kind} named {name!r}{place}"
        if not isinstance(name, str):
            message += f": a name is text, not {type(name).__name__}"
        return cls(f"{message}.", hint=hint, name=name)


class AmbiguousName(ExporterError, KeyError):
    """A name that fits several things; the message lists them."""


class SourceError(ExporterError):
    """A history could not be read."""


class SourceUnavailable(SourceError):
    """The history is out of reach now; a later cycle may succeed."""


class StoreUnreadable(SourceError):
    """The store is no store, too old, too new or corrupt; retrying does not help."""


class UnknownFlavour(SourceError):
    """A run's encoding is not one this release reads."""


class SourceDoubted(SourceError):
    """The store holds nothing of what it held before: emptied or replaced, a person must say."""


class SinkError(ExporterError):
    """A sink did not take what it was given."""


class SinkTransient(SinkError):
    """The same request may succeed later."""


class SinkRateLimited(SinkTransient):
    """The sink asks for a pause of `retry_after_s` seconds."""

    def __init__(
        self, message: str, *, retry_after_s: float, hint: str = "", **context: object
    ) -> None:
        super().__init__(message, hint=hint, **context)
        self.retry_after_s = retry_after_s


class SinkTerminal(SinkError):
    """The sink will never take this; dead letter."""


class DeletedInSink(SinkTerminal):
    """What was to be written was deleted in the sink; it stays so until a repair is asked for."""


class SinkUnavailable(SinkError):
    """The sink is out of reach or refuses our credentials; the cycle sends nothing more."""


class ArtifactError(ExporterError):
    """An artifact's bytes could not be used; the unit goes on and records it."""


class UnsafeArtifact(ArtifactError):
    """The URI lies outside the roots, or reading the format would execute code."""


class CorruptArtifact(ArtifactError):
    """The bytes are not what their format demands."""


class ArtifactTooLarge(ArtifactError):
    """The artifact exceeds the configured size."""


class MissingArtifact(ArtifactError):
    """There is nothing at the URI."""


class StateError(ExporterError):
    """The ledger cannot be used."""


class StateUnavailable(StateError):
    """The ledger's database is out of reach."""


class LeaseHeld(StateError):
    """Another process holds the lease."""


class LeaseLost(StateError):
    """The lease was taken over while we worked; nothing more may be written."""


class SchemaTooNew(StateError):
    """A newer release wrote the ledger."""


class SchemaTooOld(StateError):
    """The ledger is behind this release; `pipeline-exporter state upgrade` brings it up."""
