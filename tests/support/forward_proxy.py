"""A proxy on loopback that sends everything to one server, whatever name it is asked for."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class ForwardProxy:
    """A running proxy and the heads of what it was asked, one for each connection."""

    url: str
    heads: list[str] = field(default_factory=list)


@contextmanager
def forward_proxy(port: int) -> Iterator[ForwardProxy]:
    """Run a proxy before a port of loopback until the block ends.

    It makes tunnels for CONNECT; in plain requests it shortens the target to its path, as a proxy
    does (https://www.rfc-editor.org/rfc/rfc9112#section-3.2).
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = ForwardProxy(f"http://ann:p%40ss@127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with contextlib.suppress(OSError):  # the listener was closed
                while True:
                    near, _ = listener.accept()
                    threading.Thread(target=serve, args=(near,), daemon=True).start()

        def serve(near: socket.socket) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                block = near.recv(65_536)
                if not block:
                    return
                head += block
            proxy.heads.append(head.partition(b"\r\n\r\n")[0].decode("latin-1"))
            far = socket.create_connection(("127.0.0.1", port))
            root = b""
            if head.startswith(b"CONNECT "):
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                root = b" " + b"/".join(head.split(b" ", 2)[1].split(b"/", 3)[:3]) + b"/"
                far.sendall(head.replace(root, b" /"))
            threading.Thread(target=_pump, args=(far, near), daemon=True).start()
            _pump(near, far, root)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _pump(source: socket.socket, target: socket.socket, root: bytes = b"") -> None:
    with contextlib.suppress(OSError):  # either side went away
        while block := source.recv(65_536):
            target.sendall(block.replace(root, b" /") if root else block)
        target.shutdown(socket.SHUT_WR)
