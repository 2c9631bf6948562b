# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The page's server: its files, and a WebSocket per client for pictures and readings.

It runs in a thread of its own. A client that is slow gets the newest of each kind, never a queue.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from aitable_ros.web.access import PROTOCOL, Access
from aitable_ros.web.charts import read_charts

PAGE = Path(__file__).resolve().parent / 'page'
_TYPES = {'.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css'}

MAX_MESSAGE_BYTES = 1024
MAX_MESSAGES_PER_S = 10
IDLE_S = 20.0
"""A connection that asks for nothing is closed after so long, as is one that takes nothing."""

HEARTBEAT_S = 15.0
CLOSE_S = 0.5
CONNECTIONS_PER_CLIENT = 8
"""A browser opens up to six for the page's files."""

Answer = Callable[[str], None]
Control = Callable[[Mapping[str, Any], Answer], None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class WebSettings:
    """
    Where the page is, and for how many.

    :param host: address to listen on.
    :param port: TCP port; 0: any that is free.
    :param tls: certificate (with chain) and key, PEM; None: plain HTTP.
    :param max_clients: open pages.
    :param index: file of the page that is shown first.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    max_clients: int
    index: str = 'index.html'


class _Client:
    """One open page: its socket, and what it has still to be sent, the newest by kind."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.ws = ws
        self._transport = transport
        self.waiting: dict[str, str | bytes] = {}
        self.wake = asyncio.Event()
        self.came_s: deque[float] = deque(maxlen=MAX_MESSAGES_PER_S)

    def give(self, kind: str, payload: str | bytes) -> None:
        self.waiting[kind] = payload
        self.wake.set()

    def drop(self) -> None:
        """End the connection without waiting until anything is taken."""
        if self._transport is not None:
            self._transport.abort()

    async def leave(self) -> None:
        """Say goodbye to who listens."""
        with suppress(Exception):
            await asyncio.wait_for(self.ws.close(code=WSCloseCode.GOING_AWAY), CLOSE_S)
        self.drop()

    def is_too_fast(self) -> bool:
        """Note a message that came; tell whether there are more of them than anybody needs."""
        now_s = time.monotonic()
        full = len(self.came_s) == MAX_MESSAGES_PER_S and now_s - self.came_s[0] < 1.0
        self.came_s.append(now_s)
        return full


class WebServer:
    """
    Serves the page.

    :param settings: where.
    :param access: who may read it.
    :param greeting: what a new client is told, JSON by kind; called in the server's thread.
    :param control: does what a page asks for and answers in words, in the server's thread; None:
        what pages send is ignored.
    :param on_error: told of what went wrong in the server itself.
    :raises OSError: when the address cannot be listened on.
    """

    def __init__(
        self,
        settings: WebSettings,
        access: Access,
        *,
        greeting: Callable[[], Mapping[str, str]],
        control: Control | None,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._access = access
        self._greeting = greeting
        self._control = control
        self._on_error = on_error
        self._clients: set[_Client] = set()
        self._files = _page_files(settings.index)
        self._coming = 0
        self.refused = 0
        self._socket = _listen(settings)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name='web_server', daemon=True
        )
        self._thread.start()
        ready.wait()

    @property
    def clients(self) -> int:
        """Number of open pages."""
        return len(self._clients)

    def publish(self, kind: str, text: str) -> None:
        """Send JSON to all pages; what of this kind waits there is replaced."""
        self._spread(kind, text)

    def show(self, stamp_s: float, jpeg: bytes) -> None:
        """Send a picture to all pages: its time as a big-endian double, then the JPEG file."""
        self._spread('picture', struct.pack('>d', stamp_s) + jpeg)

    def stop(self) -> None:
        """Close all connections and end the thread; takes no longer than about two seconds."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _spread(self, kind: str, payload: str | bytes) -> None:
        def give() -> None:
            for client in self._clients:
                client.give(kind, payload)

        if self._clients:
            with suppress(RuntimeError):  # stopped meanwhile
                self._loop.call_soon_threadsafe(give)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            keepalive_timeout=IDLE_S,
            # of requests that are no HTTP it would write tracebacks
            logger=_silent(),
        )
        try:
            server = self._loop.run_until_complete(self._open(runner))
            ready.set()
            self._loop.run_forever()
            server.close()
        except Exception as error:
            self._on_error(error)
        finally:
            ready.set()
            self._loop.run_until_complete(self._close(runner))
            self._loop.close()

    async def _open(self, runner: web.AppRunner) -> asyncio.AbstractServer:
        await runner.setup()
        tls = self._settings.tls
        return await self._loop.create_server(
            lambda: self._connection(runner),
            sock=self._socket,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else IDLE_S,
        )

    def _connection(self, runner: web.AppRunner) -> asyncio.Protocol:
        assert runner.server is not None
        most = CONNECTIONS_PER_CLIENT * self._settings.max_clients
        if len(runner.server.connections) + self._coming >= most:
            self.refused += 1
            return _Refusal()
        self._coming += 1  # until it is among the others, in the loop's next round
        self._loop.call_soon(self._came)
        return runner.server()

    def _came(self) -> None:
        self._coming -= 1

    async def _close(self, runner: web.AppRunner) -> None:
        await asyncio.gather(*(client.leave() for client in self._clients))
        if runner.server is not None:
            await runner.server.shutdown(CLOSE_S)
        await runner.cleanup()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _application(self) -> web.Application:
        # without middlewares, for which aiohttp keeps the application, and all of this, for ever
        app = web.Application(client_max_size=MAX_MESSAGE_BYTES)
        app.router.add_get('/socket', self._guarded(self._socket_of))
        app.router.add_get('/{path:.*}', self._guarded(self._file))
        app.on_response_prepare.append(self._add_headers)
        return app

    def _guarded(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            problem = self._access.problem_with(request.headers)
            if problem:
                self.refused += 1
                raise web.HTTPForbidden(text=problem)
            try:
                return await handler(request)
            except (web.HTTPException, ConnectionError):
                raise
            except Exception as error:
                self._on_error(error)
                raise web.HTTPInternalServerError() from None

        return handle

    async def _add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        # behind a proxy and in older Safari 'self' has no WebSockets; the name was checked
        host = request.headers.get('Host', '')
        sockets = '' if self._access.problem_with(request.headers) else f'ws://{host} wss://{host}'
        response.headers.update(
            {
                'Content-Security-Policy': "default-src 'none'; script-src 'self'; "
                "style-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
                f"form-action 'none'; frame-ancestors 'none'; connect-src 'self' {sockets}",
                'X-Content-Type-Options': 'nosniff',
                'Referrer-Policy': 'no-referrer',
                'Cross-Origin-Resource-Policy': 'same-origin',
                'Cross-Origin-Opener-Policy': 'same-origin',
                'Cache-Control': 'no-cache',
                'Server': 'aitable',
            }
        )

    async def _file(self, request: web.Request) -> web.Response:
        # looked up among what was read at the start: no path gets to the file system
        found = self._files.get(request.match_info['path'])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found[0], content_type=found[1], charset='utf-8')

    async def _socket_of(self, request: web.Request) -> web.StreamResponse:
        if not self._access.admits(request.headers):
            self.refused += 1
            raise web.HTTPUnauthorized(text='the token is missing or wrong')
        if len(self._clients) >= self._settings.max_clients:
            self.refused += 1
            raise web.HTTPServiceUnavailable(text='too many pages are open')
        ws = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            heartbeat=HEARTBEAT_S,
            timeout=CLOSE_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,
        )
        await ws.prepare(request)
        client = _Client(ws, request.transport)
        client.waiting.update(self._greeting())
        client.wake.set()
        self._clients.add(client)
        sender = asyncio.create_task(self._send(client))
        try:
            async for message in ws:
                if client.is_too_fast():
                    await ws.close(code=WSCloseCode.POLICY_VIOLATION, message=b'too many messages')
                elif self._control is not None and message.type == WSMsgType.TEXT:
                    self._take(client, message.data)
        finally:
            self._clients.discard(client)
            sender.cancel()
        return ws

    async def _send(self, client: _Client) -> None:
        ws = client.ws
        with suppress(ConnectionError, RuntimeError):  # it is closing
            while True:
                await client.wake.wait()
                client.wake.clear()
                waiting, client.waiting = client.waiting, {}
                for payload in waiting.values():
                    send = ws.send_bytes if isinstance(payload, bytes) else ws.send_str
                    try:
                        await asyncio.wait_for(send(payload), IDLE_S)  # type: ignore[arg-type]
                    except asyncio.TimeoutError:
                        client.drop()
                        return

    def _take(self, client: _Client, text: str) -> None:
        def answer(words: str) -> None:
            payload = json.dumps({'answer': words})
            with suppress(RuntimeError):  # stopped meanwhile
                self._loop.call_soon_threadsafe(client.give, 'answer', payload)

        try:
            wish = json.loads(text)
        except ValueError:
            return
        if isinstance(wish, dict) and self._control is not None:
            self._control(wish, answer)


class _Refusal(asyncio.Protocol):
    """Takes a connection that is one too many, and closes it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _page_files(index: str) -> dict[str, tuple[bytes, str]]:
    """Read all that is served, by path: content and type."""
    contents = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.suffix in _TYPES}
    contents |= {f'charts/{name}': content for name, content in read_charts().items()}
    files = {
        name: (content, _TYPES.get(Path(name).suffix, 'text/plain'))
        for name, content in contents.items()
    }
    return {**files, '': files[index]}


def _listen(settings: WebSettings) -> socket.socket:
    """Listen; here, so that whoever starts the server hears why it cannot."""
    family, _, _, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise OSError(
            f'{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}'
        ) from None
    return listening


def _silent() -> logging.Logger:
    logger = logging.getLogger('aitable_web_requests')
    logger.setLevel(logging.CRITICAL + 1)
    return logger
