# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The page's server without ROS."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Start servers that are stopped at the end of the test."""
    pytest.importorskip('aiohttp', reason='aiohttp is not installed')
    from aitable_ros.web.access import Access
    from aitable_ros.web.server import WebServer, WebSettings

    monkeypatch.setenv('AITABLE_CACHE_DIR', str(tmp_path))
    made = []

    def start(*, tls=None, max_clients=32, control=None, errors=None, **access):
        server = WebServer(
            WebSettings('127.0.0.1', 0, tls, max_clients),
            Access(**{'token': 'x' * 43, **access}),
            greeting=lambda: {'settings': json.dumps({'settings': {'secret': 'PERCLOS'}})},
            control=control,
            on_error=(errors if errors is not None else []).append,
        )
        made.append(server)
        return server

    yield start
    for server in made:
        server.stop()
