# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Who may read the page: the token, and which hosts and origins a browser may come from."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
import socket
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

TOKEN_BYTES = 32
SHORTEST_TOKEN = 32
"""Characters; shorter ones in a file that somebody wrote are refused."""

PROTOCOL = 'aitable'
TOKEN_PREFIX = 'aitable.token.'
"""A page names the token as a second subprotocol: unlike a URL, it gets into no server's log."""

_HOST = re.compile(r'([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?', re.ASCII)
_LOCAL_NAMES = ('localhost', '127.0.0.1', '[::1]')
_FORWARDED = ('Forwarded', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Real-IP', 'Via')


class AccessError(RuntimeError):
    """The token cannot be kept safely; the message says what to do."""


@dataclass(frozen=True)
class Access:
    """
    Decides about requests.

    :param token: the secret.
    :param host: address that is listened on.
    :param allowed_hosts: names under which the page may be opened, beside addresses, this
        machine's name and localhost.
    :param always: the token is needed on this machine, too.
    """

    token: str = field(repr=False)
    host: str = '127.0.0.1'
    allowed_hosts: frozenset[str] = frozenset()
    always: bool = False

    def problem_with(self, headers: Mapping[str, str]) -> str:
        """
        Say why a request is refused by where it comes from; empty: it is not.

        A name that is not known may be an attacker's that was made to resolve to this machine
        (DNS rebinding). A page of another origin must not read the socket.
        """
        host = headers.get('Host', '').lower()
        name = _name_of(host)
        hostname = socket.gethostname().lower()
        names = {*self.allowed_hosts, *_LOCAL_NAMES, hostname, f'{hostname}.local'}
        if not _HOST.fullmatch(host) or (name not in names and not _is_address(name)):
            return 'this name is not among allowed_hosts'
        origin = headers.get('Origin')
        if origin is not None and origin.lower() not in (f'http://{host}', f'https://{host}'):
            return 'a page of another origin asked'
        return ''

    def needs_token(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request has to bring the token: what may come from the network."""
        here = is_loopback(self.host) and _name_of(headers.get('Host', '').lower()) in _LOCAL_NAMES
        return self.always or not here or any(name in headers for name in _FORWARDED)

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request brings the token, or needs none; in constant time."""
        offered = headers.get('Sec-WebSocket-Protocol', '').split(',')
        given = [one.strip() for one in offered if one.strip().startswith(TOKEN_PREFIX)]
        wanted = (TOKEN_PREFIX + self.token).encode()
        brought = any(hmac.compare_digest(one.encode(), wanted) for one in given[:1])
        return brought or not self.needs_token(headers)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address that is listened on."""
    if host == 'localhost':
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip('[]')).is_loopback
    return False


def default_token_file() -> Path:
    """Return where the token is kept unless told otherwise."""
    home = os.environ.get('ROS_HOME')
    return (Path(home) if home else Path.home() / '.ros') / 'aitable' / 'web_token'


def load_token(path: Path) -> str:
    """
    Read the token, which only its owner may; the first time, make it.

    :raises AccessError: when others can read the file, or it holds no token.
    """
    try:
        if not path.exists():
            _make_token(path)
        with path.open(encoding='ascii') as file:
            found = os.fstat(file.fileno())
            token = file.read(1024).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f'the token cannot be kept in {path}: {error}') from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise AccessError(f'{path} holds the token and others can read it: chmod 600 {path}')
    if len(token) < SHORTEST_TOKEN or not all(c.isalnum() or c in '-_' for c in token):
        raise AccessError(f'{path} holds no token: remove the file, and a new one is made')
    return token


def _make_token(path: Path) -> None:
    """Put it in place as a whole, unless another process is faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # its owner's alone
    try:
        with os.fdopen(descriptor, 'w', encoding='ascii') as file:
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + '\n')
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()


def link(host: str, port: int, token: str, *, tls: bool) -> str:
    """
    Return the address of the page; behind ``#``, which browsers keep to themselves, the token.

    :param host: address that is listened on.
    :param token: empty: none is needed.
    """
    with suppress(ValueError):
        if ipaddress.ip_address(host.strip('[]')).is_unspecified:
            host = _own_address()
    if ':' in host and not host.startswith('['):
        host = f'[{host}]'
    return f'http{"s" * tls}://{host}:{port}/' + (f'#token={token}' if token else '')


def print_link(text: str, terminal: TextIO) -> None:
    """Write a link, and where ``qrcode`` is installed a QR code of it for phones."""
    terminal.write(f'\n{text}\n')
    with suppress(ImportError, UnicodeEncodeError):
        import qrcode

        code = qrcode.QRCode(border=2)
        code.add_data(text)
        code.print_ascii(out=terminal, invert=True)
    terminal.flush()


def _own_address() -> str:
    """Give the address that other machines of the network reach this one by."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(('192.0.2.1', 9))  # for documentation (RFC 5737); nothing is sent
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _name_of(host: str) -> str:
    """Take the port off a Host header."""
    if host.startswith('['):
        return host.partition(']')[0] + ']'
    return host.partition(':')[0]


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name.strip('[]'))
        return True
    return False
