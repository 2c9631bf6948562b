# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A thousand requests and frames that no browser of ours sends: none gets data, nothing breaks."""

from __future__ import annotations

import os
import random
import socket
import struct

import pytest
from ros_fixtures import until
from web_clients import LOCAL, Page, upgrade

pytest.importorskip('aiohttp', reason='aiohttp is not installed')

TOKEN = 'x' * 43
RIGHT = f'aitable, aitable.token.{TOKEN}'
REQUESTS = 700
FRAMES = 300
DATA = b'PERCLOS'
"""Part of what every page is told that is let in."""


def requests(rng, port):
    """Yield requests without the token."""

    def noise(length):
        return bytes(rng.randrange(256) for _ in range(length))

    host = f'Host: {LOCAL}:{port}\r\n'
    while True:
        token = ''.join(rng.choices('xyz-_', k=rng.choice((0, 1, 42, 43, 44, 2000))))
        token = token.replace(TOKEN, '')
        opening = upgrade(port, Sec_WebSocket_Protocol=f'aitable, aitable.token.{token}')
        yield noise(rng.randrange(1, 400))
        yield opening.encode()
        yield opening[: rng.randrange(len(opening))].encode()
        yield opening.replace('13', str(rng.randrange(-5, 99))).encode()
        yield upgrade(port, Origin='https://evil.example', Sec_WebSocket_Protocol=RIGHT).encode()
        yield upgrade(port, Host='evil.example', Sec_WebSocket_Protocol=RIGHT).encode()
        yield f'GET /{"a" * rng.choice((10, 9000, 70000))} HTTP/1.1\r\n{host}\r\n'.encode()
        yield f'GET / HTTP/1.1\r\n{host}X: {"b" * rng.choice((10, 9000, 70000))}\r\n\r\n'.encode()
        yield f'GET / HTTP/1.1\r\n{host}'.encode() + b'Y: c\r\n' * rng.choice((1, 300))
        method = rng.choice(('', 'GET', 'PRI', 'G\0T', 'get'))
        yield f'{method} / HTTP/{rng.random():.1f}\r\n\r\n'.encode()
        path = rng.choice(('../', '%2e%2e/', '..\\', '%00', '..;/')) * rng.randrange(1, 9)
        yield f'GET /{path}etc/passwd HTTP/1.1\r\n{host}\r\n'.encode('latin-1')
        length = rng.choice((-1, 10**12, 'x', 5))
        yield f'POST /socket HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\nhello'.encode()
        yield f'POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n'.encode()
        yield upgrade(port).encode() + frame(rng)


def frame(rng):
    """Make a frame that is wrong, or right and of no use."""
    payload = os.urandom(rng.choice((0, 1, 125, 126, 2000)))
    first = rng.randrange(256)  # reserved bits and opcodes, too
    masked = rng.choice((0x80, 0x80, 0))
    size = rng.choice((len(payload), len(payload), 2**40))
    if size < 126:
        head = struct.pack('>BB', first, masked | size)
    elif size < 1 << 16:
        head = struct.pack('>BBH', first, masked | 126, size)
    else:
        head = struct.pack('>BBQ', first, masked | 127, size)
    return head + (os.urandom(4) if masked else b'') + payload


def answer_to(port, data, patience_s=0.02):
    with socket.create_connection((LOCAL, port), 5.0) as connection:
        connection.settimeout(patience_s)
        received = b''
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
        except OSError:
            pass
        return received


def test_a_thousand_of_them(serve, caplog, capfd):
    rng = random.Random(16)
    wishes, errors = [], []
    server = serve(always=True, control=lambda wish, answer: wishes.append(wish), errors=errors)
    port = server.port
    hostile = requests(rng, port)
    for _ in range(REQUESTS):
        answer = answer_to(port, next(hostile))
        assert DATA not in answer
        assert b'root:' not in answer
        assert b'Traceback' not in answer
        assert b' 101 ' not in answer[:20]
    assert server.clients == 0
    for _ in range(FRAMES):
        opening = upgrade(port, Sec_WebSocket_Protocol=RIGHT).encode()
        answer_to(port, opening + frame(rng), 0.005)
    assert until(lambda: server.clients == 0)
    assert wishes == []
    assert errors == []
    with Page(port, token=TOKEN) as page:
        assert page.until('settings')
    out, err = capfd.readouterr()
    said = out + err + caplog.text
    assert 'Traceback' not in said
    assert TOKEN not in said
