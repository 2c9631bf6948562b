# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The page's server: who is let in, who is not, and who is slow."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
from resident_memory import rss_mb
from ros_fixtures import until
from web_clients import Page, deaf_client, get, socket_status, status_of

pytest.importorskip('aiohttp', reason='aiohttp is not installed')

TOKEN = 'x' * 43
OFFER = 'aitable, aitable.token.'


class TestFiles:
    def test_the_page_and_its_parts_are_there(self, serve):
        port = serve().port
        page = get(port, '/')
        assert status_of(page) == 200
        assert b'content-type: text/html; charset=utf-8' in page.lower()
        for name, kind in (('main.js', b'text/javascript'), ('style.css', b'text/css')):
            assert kind in get(port, f'/{name}')

    def test_nothing_of_another_host_and_no_inline_script_may_run(self, serve):
        port = serve().port
        page = get(port, '/')
        (policy,) = [x for x in page.split(b'\r\n') if x.startswith(b'Content-Security-Policy')]
        assert b"default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert b'unsafe' not in policy
        assert f"connect-src 'self' ws://127.0.0.1:{port} wss://".encode() in policy
        for path in ('/', '/nothing', '/socket'):
            answer = get(port, path)
            assert b'nosniff' in answer
            assert b'frame-ancestors' in answer
        body = page.partition(b'\r\n\r\n')[2]
        assert b'http:' not in body
        assert b'https:' not in body

    @pytest.mark.parametrize(
        'path',
        [
            '/../server.py',
            '/page/../../server.py',
            '/..%2fserver.py',
            '/%2e%2e/%2e%2e/paths.py',
            '//etc/passwd',
            '/....//server.py',
            '/main.js%00.css',
            '/charts/../../../setup.py',
            '/charts/uPlot.esm.js',  # not installed here
            '\\..\\server.py',
        ],
    )
    def test_other_files_are_not(self, serve, path):
        answer = get(serve().port, path)
        assert status_of(answer) in (400, 404)
        assert b'Copyright' not in answer
        assert b'root:' not in answer

    def test_there_is_nothing_to_write_to(self, serve):
        port = serve().port
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS'):
            host = f'Host: 127.0.0.1:{port}'
            from web_clients import request

            answer = request(port, f'{method} / HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n')
            assert status_of(answer) == 405


class TestAccess:
    def test_this_machine_needs_no_token(self, serve):
        port = serve().port
        assert socket_status(port) == 101
        assert socket_status(port, Origin=f'http://127.0.0.1:{port}') == 101

    @pytest.mark.parametrize(
        'origin',
        ['http://evil.example', 'null', 'http://127.0.0.1:1', 'http://127.0.0.1.evil.example', ''],
    )
    def test_a_foreign_page_is_refused(self, serve, origin):
        server = serve()
        assert socket_status(server.port, Origin=origin) == 403
        assert server.clients == 0
        assert server.refused == 1

    @pytest.mark.parametrize('host', ['evil.example', '127.0.0.1.evil.example', '', '[::1', 'a b'])
    def test_a_foreign_name_is_refused(self, serve, host):
        port = serve().port
        assert status_of(get(port, '/', Host=host)) in (400, 403)
        assert socket_status(port, Host=host) in (400, 403)

    @pytest.mark.parametrize('proxied', ['X_Forwarded_For', 'Forwarded', 'X_Real_IP', 'Via'])
    def test_who_comes_through_a_proxy_needs_it(self, serve, proxied):
        port = serve().port
        assert socket_status(port, **{proxied: '10.1.2.3'}) == 401
        offer = {'Sec_WebSocket_Protocol': OFFER + TOKEN}
        assert socket_status(port, **{proxied: '10.1.2.3'}, **offer) == 101

    def test_whoever_does_not_come_to_a_local_name_needs_it(self, serve):
        port = serve(allowed_hosts=frozenset({'table.example'})).port
        assert status_of(get(port, '/', Host='table.example')) == 200
        assert socket_status(port, Host='table.example') == 401

    @pytest.mark.parametrize(
        'offer', [None, 'aitable', OFFER, OFFER + 'x' * 42, OFFER + 'y' * 43, OFFER + 'x' * 44]
    )
    def test_a_wrong_token_is_refused(self, serve, offer):
        port = serve(always=True).port
        given = {} if offer is None else {'Sec_WebSocket_Protocol': offer}
        assert socket_status(port, **given) == 401

    def test_the_right_one_is_not(self, serve):
        with Page(serve(always=True).port, token=TOKEN) as page:
            assert page.until('settings') == {'secret': 'PERCLOS'}

    def test_so_many_pages_and_no_more(self, serve):
        server = serve(max_clients=2)
        with Page(server.port), Page(server.port):
            assert socket_status(server.port) == 503
        assert until(lambda: server.clients == 0)
        assert socket_status(server.port) == 101

    def test_so_many_connections_and_no_more(self, serve):
        server = serve(max_clients=1)
        opened = [socket.create_connection(('127.0.0.1', server.port)) for _ in range(20)]
        try:
            for connection in opened:
                connection.settimeout(2.0)
            assert until(lambda: server.refused >= 12)
            assert opened[-1].recv(10) == b''
        finally:
            for connection in opened:
                connection.close()


class TestClients:
    def test_pictures_and_readings_come_over_one_socket(self, serve):
        server = serve()
        with Page(server.port) as page:
            page.until('settings')
            server.publish('readings', '{"readings": {"people": []}}')
            assert page.until('readings') == {'people': []}
            server.show(12.5, b'JPEG')
            page.next()
            assert page.pictures == [struct.pack('>d', 12.5) + b'JPEG']

    def test_every_page_gets_all_and_those_that_went_nothing(self, serve):
        server = serve()
        with Page(server.port) as first:
            with Page(server.port) as second:
                server.publish('rows', '{"rows": [1]}')
                assert first.until('rows') == second.until('rows') == [1]
            assert until(lambda: server.clients == 1)
            server.publish('rows', '{"rows": [2]}')
            assert first.until('rows') == [2]

    def test_a_slow_one_gets_the_newest_only(self, serve):
        server = serve()
        with Page(server.port, max_msg_size=0) as page:
            page.until('settings')
            size, last = 200_000, 300
            for number in range(1, last + 1):
                server.show(float(number), bytes(size))
                time.sleep(0.002)
            while not page.pictures or page.pictures[-1][:8] != struct.pack('>d', last):
                page.next()
            # what was in buffers on the way, and the last one
            assert len(page.pictures) < last / 3

    def test_one_that_never_reads_costs_nothing_and_is_closed(self, serve, monkeypatch):
        monkeypatch.setattr('aitable_ros.web.server.IDLE_S', 1.5)
        server = serve()
        with deaf_client(server.port):
            assert until(lambda: server.clients == 1)
            before = rss_mb()
            for number in range(300):
                server.show(float(number), bytes(1_000_000))
                time.sleep(0.001)
            assert rss_mb() - before < 20.0
            assert until(lambda: server.clients == 0, 10.0)

    def test_nothing_is_kept_for_nobody(self, serve):
        server = serve()
        for number in range(1000):
            server.show(float(number), bytes(1000))
        assert server.clients == 0


class TestWhatPagesSend:
    def test_is_ignored_where_one_can_look_only(self, serve):
        server = serve()
        with Page(server.port) as page:
            page.until('settings')
            page.send(json.dumps({'do': 'reload'}))
            server.publish('rows', '{"rows": []}')
            assert page.until('rows') == []

    def test_is_answered_where_it_may_control(self, serve):
        wishes = []

        def control(wish, answer):
            wishes.append(wish)
            # as a node would: from a thread of its own
            threading.Timer(0.05, answer, [f'done: {wish["do"]}']).start()

        with Page(serve(control=control).port) as page:
            for text in ('no JSON', '[]', '"reload"', '{"do": "reload"}'):
                page.send(text)
            assert page.until('answer') == 'done: reload'
        assert wishes == [{'do': 'reload'}]

    def test_too_much_of_it_ends_the_connection(self, serve):
        server = serve()
        with Page(server.port) as page:
            page.until('settings')
            page.send('x' * 5000)
            page.next()
            assert page.close_code == 1009
        with Page(server.port) as page:
            page.until('settings')
            for _ in range(40):
                page.send('{}')
            page.next()
            assert page.close_code == 1008


class TestEnd:
    def test_it_stops_at_once_with_clients_also_deaf_ones(self, serve):
        server = serve()
        with Page(server.port) as page, deaf_client(server.port):
            assert until(lambda: server.clients == 2)
            for number in range(100):
                server.show(float(number), bytes(100_000))
            began_s = time.monotonic()
            server.stop()
            assert time.monotonic() - began_s < 2.5
            while page.close_code is None:
                page.next()
            assert page.close_code in (1001, 1006)
        server.publish('rows', '{}')  # nobody is hurt
        server.stop()

    def test_a_port_in_use_is_said(self, serve):
        from aitable_ros.web.access import Access
        from aitable_ros.web.server import WebServer, WebSettings

        port = serve().port
        with pytest.raises(OSError, match=f'127.0.0.1:{port} cannot be listened on: .* in use'):
            WebServer(
                WebSettings('127.0.0.1', port, None, 1),
                Access(TOKEN),
                greeting=dict,
                control=None,
                on_error=print,
            )


def test_an_error_of_our_own_is_told_and_not_shown(serve, monkeypatch):
    errors = []
    server = serve(errors=errors)

    def fail():
        raise ValueError('a secret')

    monkeypatch.setattr(server, '_access', None)  # whatever goes wrong
    assert b'Traceback' not in get(server.port, '/')
    monkeypatch.undo()
    monkeypatch.setattr(server, '_greeting', fail)
    assert socket_status(server.port) in (101, 500)
    assert until(lambda: any('a secret' in str(error) for error in errors))


def test_tls(serve, tmp_path):
    if shutil.which('openssl') is None:
        pytest.skip('openssl, which makes the certificate, is not installed')
    certificate, key = tmp_path / 'c.pem', tmp_path / 'k.pem'
    subprocess.run(
        [
            *('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1'),
            *('-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'),
            *('-keyout', key, '-out', certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = serve(tls=context)
    trusting = ssl.create_default_context(cafile=certificate)
    url = f'https://localhost:{server.port}/socket'
    with Page(server.port, url=url, ssl=trusting) as page:
        assert page.until('settings')
    assert b'PERCLOS' not in get(server.port, '/')  # plain HTTP is no TLS
