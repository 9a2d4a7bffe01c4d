"""HTTP as openlineage-python is configured for it, sent by our own sender.

The client follows a redirect, and then counts a login page as a success; ours says what became of
each event. The client only reads its configuration, and provides tokens.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from exporter.config.masking import tree_secrets
from exporter.sinks.openlineage.http import HttpDestination

if TYPE_CHECKING:
    from exporter.mapping.openlineage.profile import CatalogProfile
    from exporter.sinks.openlineage.client_config import Tree

HTTP = frozenset({"http", "async_http"})


def own_http(
    name: str, tree: Tree, timeout_s: float, profile: CatalogProfile
) -> HttpDestination | None:
    """Give our own HTTP sender for a transport of the client that is HTTP, else None.

    What the client leaves unread is left unread here too.
    Raises: whatever the client's reading of its configuration raises.
    """
    if tree.get("type") not in HTTP:
        return None
    from openlineage.client.transport.http import HttpConfig

    asked: Any = HttpConfig.from_dict(tree)
    url, headers = asked.url, asked.custom_headers
    if not isinstance(url, str):
        raise TypeError("its `url` is no text")
    if not isinstance(headers, dict) or not all(
        isinstance(text, str) and text.isprintable() and max(text, default="") <= "\xff"
        for pair in headers.items()
        for text in pair
    ):
        raise TypeError("its `custom_headers` are no `name: value` lines")
    return HttpDestination(
        name,
        urljoin(url.strip(), tree.get("endpoint") or profile.endpoint),
        profile=profile,
        endpoint="",
        headers=headers,
        timeout_s=float(tree.get("timeout") or timeout_s),
        compress=True if asked.compression is not None else None,
        root=urljoin(url.strip(), "."),
        tls=_trust(asked.verify, asked.ssl_context),
        bearer=asked.auth.get_bearer,
        secrets=tree_secrets(tree),
    )


def forbid_redirects(transport: Any) -> None:
    """Have the client's HTTP, also inside another transport, give a redirect as the answer."""
    import requests
    from openlineage.client.transport.http import HttpTransport

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
            return None

    for one in (transport, *getattr(transport, "__dict__", {}).values()):
        if isinstance(one, HttpTransport):
            one.session = Session()


def _trust(verify: object, asked: Any) -> ssl.SSLContext | None:
    """Give whom to trust and what to show, None for the usual; as `requests` reads the two."""
    authorities = (asked.ca_cert_path if asked is not None else None) or verify
    shown = asked.client_cert_path if asked is not None else None
    if authorities is True and not shown:
        return None
    try:
        if isinstance(authorities, str):
            is_folder = Path(authorities).is_dir()
            context = ssl.create_default_context(
                cafile=None if is_folder else authorities,
                capath=authorities if is_folder else None,
            )
        else:
            context = ssl.create_default_context()
        if shown:
            context.load_cert_chain(shown, asked.client_key_path)
    except OSError as error:
        raise ValueError(f"a certificate cannot be read ({error})") from error
    if not authorities:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
