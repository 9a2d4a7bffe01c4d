"""What makes a unit worth writing again: its rows, and the policy it is written under."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from exporter.hierarchy import canonical_bytes, run_to_value
from exporter.hierarchy.status import is_unfinished

if TYPE_CHECKING:
    from exporter.hierarchy import RunSnapshot


def policy_digest(policy: object) -> str:
    """Give the digest of the effective mapping and artifact policy, as 16 hex digits.

    The exporter's version is no part of it: an upgrade must not send all lineage again.
    """
    return hashlib.sha256(canonical_bytes(policy)).hexdigest()[:16]


def unit_fingerprint(run: RunSnapshot, policy: str) -> str:
    """Give the digest of a run's rows, not of its bytes, under a policy, as 64 hex digits."""
    digest = hashlib.sha256(policy.encode("ascii"))
    digest.update(canonical_bytes(run_to_value(run)))
    return digest.hexdigest()


def has_settled(
    run: RunSnapshot, *, now_ms: int, settle_ms: int, unchanged_since_ms: int | None
) -> bool:
    """Tell whether an ended run may be believed to have ended.

    A live run between two steps looks complete. It has settled when its last change is `settle_ms`
    old by our clock, or when two looks that far apart found it unchanged (which also copes with a
    store whose clock runs ahead).
    """
    if any(is_unfinished(step.status) for step in run.steps) or is_unfinished(run.status):
        return False
    if run.changed is None or now_ms - run.changed >= settle_ms:
        return True
    return unchanged_since_ms is not None and now_ms - unchanged_since_ms >= settle_ms
