# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Weights come whole into the cache, or not at all; from a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aitable_ros.model_zoo.files import ModelFilesError
from aitable_ros.model_zoo.web_file import MAX_BYTES, download_file

CONTENT = bytes(range(256)) * 5000


@pytest.fixture
def server():
    """An HTTP server; set its ``length`` to lie about the size."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != '/emonet_8.pth':
                self.send_error(404)
                return
            self.server.requests += 1
            self.send_response(200)
            self.send_header('Content-Length', str(self.server.length))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as http:
        http.length, http.requests = len(CONTENT), 0
        http.handle_error = lambda *_: None  # a client that hangs up is part of the tests
        http.url = f'http://127.0.0.1:{http.server_address[1]}/emonet_8.pth'
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def test_it_is_downloaded_once(server, tmp_path):
    lines: list[str] = []
    for _ in range(2):
        path = download_file(server.url, tmp_path / 'new', lines.append)
        assert path.read_bytes() == CONTENT
    assert server.requests == 1
    assert any('from an earlier download' in line for line in lines)


@pytest.mark.parametrize(
    ('length', 'reason'),
    [(len(CONTENT) + 10, 'bytes came|IncompleteRead'), (MAX_BYTES + 1, 'too large')],
)
def test_a_download_that_is_not_whole_leaves_nothing(server, tmp_path, length, reason):
    server.length = length
    with pytest.raises(ModelFilesError, match=reason):
        download_file(server.url, tmp_path, print)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_says_how_to_bring_it_by_hand(server, tmp_path):
    with pytest.raises(ModelFilesError, match=r'404.*bring it with --from'):
        download_file(f'{server.url}x', tmp_path, print, by_hand='bring it with --from')


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(ModelFilesError, match='another file than expected'):
        download_file(server.url, tmp_path, print, sha256='0' * 64)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_cache_that_is_not_the_pinned_one_is_downloaded_again(server, tmp_path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / 'emonet_8.pth').write_bytes(b'something else')
    path = download_file(server.url, tmp_path, print, sha256=digest)
    assert path.read_bytes() == CONTENT
    download_file(server.url, tmp_path, print, sha256=digest)
    assert server.requests == 1
