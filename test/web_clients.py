# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the page share: clients that are no browser."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

LOCAL = '127.0.0.1'


def request(port: int, text: str | bytes, timeout_s: float = 5.0) -> bytes:
    """Send these very bytes on a connection of their own; return all that comes back."""
    data = text.encode() if isinstance(text, str) else text
    with socket.create_connection((LOCAL, port), timeout_s) as connection:
        connection.settimeout(timeout_s)
        received = b''
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionError, TimeoutError):
            pass  # closed while we were still talking
        return received


def get(port: int, path: str, **headers: str) -> bytes:
    """Ask for a path as it stands; ``_`` in the name of a header is a hyphen."""
    given = {'Host': f'{LOCAL}:{port}', **{k.replace('_', '-'): v for k, v in headers.items()}}
    lines = ''.join(f'{name}: {value}\r\n' for name, value in given.items())
    return request(port, f'GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n')


def upgrade(port: int, **headers: str) -> str:
    """Give the request that opens a WebSocket."""
    given = {
        'Host': f'{LOCAL}:{port}',
        'Upgrade': 'websocket',
        'Connection': 'Upgrade',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': base64.b64encode(os.urandom(16)).decode(),
        **{name.replace('_', '-'): value for name, value in headers.items()},
    }
    lines = ''.join(f'{name}: {value}\r\n' for name, value in given.items())
    return f'GET /socket HTTP/1.1\r\n{lines}\r\n'


def status_of(response: bytes) -> int:
    return int(response.split(b' ', 2)[1])


def socket_status(port: int, **headers: str) -> int:
    """Try to open a WebSocket; return the status of the answer."""
    with socket.create_connection((LOCAL, port), 5.0) as connection:
        connection.settimeout(5.0)
        connection.sendall(upgrade(port, **headers).encode())
        return status_of(connection.recv(4096))


@contextmanager
def deaf_client(port: int):
    """Open a WebSocket and never read from it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with connection:
        connection.connect((LOCAL, port))
        connection.sendall(upgrade(port).encode())
        yield connection


class Page:
    """A WebSocket of a page, used from ordinary code."""

    def __init__(self, port: int, *, token: str = '', **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._open = self._loop.run_until_complete(self._connect(port, token, options))
        self.pictures: list[bytes] = []
        self.heard: list[dict[str, Any]] = []

    async def _connect(self, port: int, token: str, options: Mapping[str, Any]) -> Any:
        import aiohttp

        self._session = aiohttp.ClientSession()
        protocols = ['aitable', *([f'aitable.token.{token}'] if token else [])]
        url = options.pop('url', f'http://{LOCAL}:{port}/socket')
        return await self._session.ws_connect(url, protocols=protocols, **options)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._open.close())
        self._loop.run_until_complete(self._session.close())
        self._loop.close()

    def send(self, text: str) -> None:
        self._loop.run_until_complete(self._open.send_str(text))

    def next(self, timeout_s: float = 5.0) -> Any:
        """Return the next message of aiohttp; it is kept, too."""
        import aiohttp

        message = self._loop.run_until_complete(self._open.receive(timeout_s))
        if message.type == aiohttp.WSMsgType.BINARY:
            self.pictures.append(message.data)
        elif message.type == aiohttp.WSMsgType.TEXT:
            self.heard.append(json.loads(message.data, parse_constant=_refuse))
        return message

    def until(self, kind: str, timeout_s: float = 10.0) -> Any:
        """Read until something of a kind comes; return it."""
        import time

        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            before = len(self.heard)
            self.next(max(deadline - time.monotonic(), 0.1))
            if len(self.heard) > before and kind in self.heard[-1]:
                return self.heard[-1][kind]
        raise AssertionError(f'no {kind} among {[list(one) for one in self.heard]}')

    @property
    def close_code(self) -> int | None:
        return self._open.close_code


def _refuse(constant: str) -> None:
    raise AssertionError(f'{constant} is no JSON')
