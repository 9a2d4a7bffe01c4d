"""Senders from what openlineage-python calls a transport's configuration."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from exporter.errors import ConfigError, ExporterError
from exporter.sinks.openlineage.client_composite import CompositeSender
from exporter.sinks.openlineage.client_http import forbid_redirects, own_http
from exporter.sinks.openlineage.client_kafka import KafkaErrors, KafkaSender
from exporter.sinks.openlineage.client_senders import (
    ConsoleSender,
    DataZoneSender,
    DestinationSender,
    EmitSender,
    GcpSender,
    Sender,
    TransformSender,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.mapping.openlineage.profile import CatalogProfile
    from exporter.sinks.openlineage.client_config import Tree

# The outbox has its own tries, and they would multiply.
_NO_RETRY = {"total": 0, "read": 0, "connect": 0, "status_forcelist": [], "raise_on_status": False}
_EXTRAS = {
    "kafka": "kafka",
    "msk-iam": "kafka",
    "gcplineage": "gcp",
    "amazon_datazone_api": "datazone",
}


def build_sender(
    name: str,
    tree: Tree,
    *,
    profile: CatalogProfile,
    timeout_s: float,
    mask: Callable[[str], str],
    found_in: str,
) -> Sender:
    """Give the sender of a transport; nothing is contacted yet.

    Raises: ConfigError if there is no such transport, or it lacks a package or a setting.
    """
    kind = _kind(name, tree, found_in)
    try:
        return _built(
            name,
            kind,
            dict(tree),
            profile=profile,
            timeout_s=timeout_s,
            mask=mask,
            found_in=found_in,
        )
    except ExporterError:
        raise
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(kind)
        raise ConfigError(
            f"The transport {kind!r} of the OpenLineage destination {name!r} needs the Python "
            f"package of {error.name!r}, which is not installed.",
            hint=f"pip install 'pipeline-exporter[{extra}]'" if extra else "Install it.",
        ) from None
    except Exception as error:  # noqa: BLE001 - strangers' code, and its cause may quote a secret
        told = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ConfigError(
            f"The transport {kind!r} of the OpenLineage destination {name!r} ({found_in}) cannot "
            f"be made: {mask(str(told)).rstrip('.')}.",
            hint="https://openlineage.io/docs/client/python/configuration says what it takes.",
        ) from None


def _kind(name: str, tree: Tree, found_in: str) -> str:
    from openlineage.client.transport import get_default_factory

    kind = tree.get("type")
    known = sorted(get_default_factory().transports)
    if isinstance(kind, str) and (kind in known or "." in kind):
        return kind
    said = "has no `type`" if kind is None else f"is of the type {kind!r}, which there is not"
    raise ConfigError(
        f"A transport of the OpenLineage destination {name!r} ({found_in}) {said}.",
        hint=f"There are {', '.join(known)}, and the path of a class such as package.module.Class.",
    )


def _built(
    name: str,
    kind: str,
    tree: Tree,
    *,
    profile: CatalogProfile,
    timeout_s: float,
    mask: Callable[[str], str],
    found_in: str,
) -> Sender:
    def inner(below: Tree) -> Sender:
        return build_sender(
            name, below, profile=profile, timeout_s=timeout_s, mask=mask, found_in=found_in
        )

    own = own_http(name, tree, timeout_s, profile)
    if own is not None:
        return DestinationSender(own)
    if kind == "console":
        return ConsoleSender()
    if kind == "composite":
        return _composite(tree, inner)
    if kind == "transform":
        return _transform(name, tree, inner, profile)
    return _of_the_client(name, tree, timeout_s, profile)


def _composite(tree: Tree, inner: Callable[[Tree], Sender]) -> Sender:
    children = tree.get("transports") or []
    if isinstance(children, dict):
        children = [{**child, "name": key} for key, child in children.items() if child]
    if not children:
        raise ValueError("its `transports` are empty")
    if not all(isinstance(child, dict) for child in children):
        raise ValueError("one of its `transports` is no section")
    if tree.get("sort_transports"):
        children = sorted(children, key=lambda child: -int(child.get("priority", 0)))
    return CompositeSender(
        [inner(child) for child in children],
        all_of_them=bool(tree.get("continue_on_success", True)),
    )


def _transform(
    name: str, tree: Tree, inner: Callable[[Tree], Sender], profile: CatalogProfile
) -> Sender:
    from openlineage.client.transport import TransformConfig
    from openlineage.client.transport.transform import EventTransformer
    from openlineage.client.utils import import_from_string

    config = TransformConfig.from_dict(tree)
    made = import_from_string(config.transformer_class)
    if not issubclass(made, EventTransformer):
        raise TypeError(f"{config.transformer_class} is no EventTransformer")
    if not isinstance(config.transport, dict):
        raise TypeError("its `transport` is no section")
    transformer = made(properties=config.transformer_properties or {})
    return TransformSender(name, transformer, inner(config.transport), profile)


def _of_the_client(name: str, tree: Tree, timeout_s: float, profile: CatalogProfile) -> Sender:
    """Have the client make its transport; how it fails decides who sends by it."""
    from openlineage.client import transport as client

    errors = KafkaErrors()
    kind = tree["type"]
    if kind in {"kafka", "msk-iam"} and isinstance(tree.get("config"), dict):
        tree["config"] = {"log_level": 2, "error_cb": errors.note, **tree["config"]}
    if kind == "gcplineage":
        import_module("google.cloud.datacatalog_lineage_v1")  # the transport waits with it
    if kind == "datadog":
        tree |= {"retry": _NO_RETRY, "async_transport_rules": {}}
    made: Any = client.get_default_factory().create(tree)
    forbid_redirects(made)
    if isinstance(made, client.KafkaTransport):
        return KafkaSender(name, made, errors, timeout_s)
    if isinstance(made, client.AmazonDataZoneTransport):
        return DataZoneSender(name, made, profile)
    if isinstance(made, client.GCPLineageTransport):
        return GcpSender(name, made, profile)
    return EmitSender(name, made, profile)
