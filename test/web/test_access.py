# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The token's file and the link."""

from __future__ import annotations

import io
import stat
import threading

import pytest

from aitable_ros.web.access import (
    Access,
    AccessError,
    default_token_file,
    is_loopback,
    link,
    load_token,
    print_link,
)


def test_the_token_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / 'new' / 'token'
    token = load_token(path)
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_token(path) == token
    assert load_token(tmp_path / 'other') != token


def test_whoever_comes_first_makes_it(tmp_path):
    found = []
    path = tmp_path / 'token'
    threads = [threading.Thread(target=lambda: found.append(load_token(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ['token']


@pytest.mark.parametrize('mode', [0o644, 0o640, 0o602])
def test_a_token_that_others_can_read_is_none(tmp_path, mode):
    path = tmp_path / 'token'
    load_token(path)
    path.chmod(mode)
    with pytest.raises(AccessError, match=f'chmod 600 {path}'):
        load_token(path)


@pytest.mark.parametrize('content', ['', 'short', 'a b' * 20, 'ä' * 40, 'x' * 40 + ',y'])
def test_what_is_no_token_is_refused(tmp_path, content):
    path = tmp_path / 'token'
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(AccessError):
        load_token(path)


def test_it_lies_beside_what_ros_keeps(monkeypatch, tmp_path):
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    assert default_token_file() == tmp_path / 'aitable' / 'web_token'


def test_nobody_sees_it_in_a_description_of_the_rules():
    assert 'secret' not in repr(Access('secret'))


@pytest.mark.parametrize(
    ('host', 'expected'),
    [
        *((host, True) for host in ('127.0.0.1', '127.1.2.3', 'localhost', '::1')),
        *((host, False) for host in ('0.0.0.0', '::', '192.0.2.7', 'table.local')),
    ],
)
def test_what_only_this_machine_reaches(host, expected):
    assert is_loopback(host) == expected


def test_links():
    assert link('127.0.0.1', 8080, '', tls=False) == 'http://127.0.0.1:8080/'
    assert link('::1', 80, 'abc', tls=True) == 'https://[::1]:80/#token=abc'
    assert '0.0.0.0' not in link('0.0.0.0', 8080, 'abc', tls=False)


def test_a_link_is_printed_with_a_code_for_phones():
    pytest.importorskip('qrcode', reason='qrcode is not installed')
    terminal = io.StringIO()
    print_link('http://table:8080/#token=abc', terminal)
    lines = terminal.getvalue().splitlines()
    assert lines[1] == 'http://table:8080/#token=abc'
    assert len(lines) > 10
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding='ascii', write_through=True)
    print_link('http://table:8080/', ascii_only)
    assert ascii_only.buffer.getvalue().startswith(b'\nhttp://table:8080/\n')
