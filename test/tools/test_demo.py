# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The demo shows the system at work, and says what is wrong where it is not."""

from __future__ import annotations

import csv
import re
import socket

import cv2
import pytest

from aitable_ros.tools import demo

pytestmark = pytest.mark.models


@pytest.fixture(autouse=True)
def _needs_ros():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')


def test_two_seconds_of_the_sample(tmp_path, capsys, engines_dir):
    assert demo.main(['--seconds', '2', '--out', str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert 'with a face in 100.0%' in said
    assert re.search(r'identities        f\d{5}_1\n', said)
    lines = [line.split() for line in said.splitlines() if line.startswith(('   1  ', '   2  '))]
    assert [line[:2] for line in lines] == [['1', '1'], ['2', '1']]
    with (tmp_path / 'results.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 30
    assert len({row['face_id'] for row in rows}) == 1
    assert all(0 < float(row['latency_ms']) < 2000 for row in rows)
    assert cv2.imread(str(tmp_path / 'overlay.png')).shape == (480, 640, 3)
    for log in ('nodes.log', 'source.log'):
        assert 'Traceback' not in (tmp_path / log).read_text()


def test_a_source_that_is_not_there_is_said_at_once(tmp_path, capsys, engines_dir):
    assert demo.main(['--source', '/no/such.mp4', '--out', str(tmp_path)]) == 1
    assert 'no such file or folder: /no/such.mp4' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['--seconds', '-1'], 'not a positive number'), (['--seconds', 'x'], '--seconds')],
)
def test_impossible_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        demo.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_backend_is_refused_with_those_there_are(capsys):
    assert demo.main(['--backend', 'nonsense']) == 1
    assert 'not one of auto, litert' in capsys.readouterr().err


def test_it_serves_the_page_and_says_where(tmp_path, capsys, engines_dir):
    pytest.importorskip('aiohttp', reason='aiohttp is not installed')
    with socket.socket() as probe:  # where somebody else serves there, it says so instead
        if probe.connect_ex(('127.0.0.1', 8080)) == 0:
            pytest.skip('port 8080 is in use here')
    arguments = ['--web', '--seconds', '6', '--privacy', 'mesh', '--out', str(tmp_path)]
    assert demo.main(arguments) == 0
    drawn = cv2.imread(str(tmp_path / 'overlay.png'))
    assert (drawn[-20:] == drawn[-1, -1]).all()  # plain ground
    assert 'the page is at http://127.0.0.1:8080/' in capsys.readouterr().out
    assert 'Traceback' not in (tmp_path / 'web.log').read_text()
