# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The command publishes a bag until somebody ends it, and can be paused."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from ros_fixtures import graph, until
from std_msgs.msg import String
from std_srvs.srv import SetBool
from string_bags import announce_more, five, make_bag

__all__ = ['five', 'graph']

pytestmark = pytest.mark.ros


class TestCommandLine:
    @staticmethod
    def command(*arguments: object) -> list[str]:
        return [sys.executable, '-m', 'aitable_ros.tools.replay', *map(str, arguments)]

    def test_publishes_under_another_name(self, graph, five: Path) -> None:
        heard = graph.collect(String, '/table/words')
        process = subprocess.run(
            self.command(
                five, '--rate', 4, '--remap', '/a:=/table/words', '--wait-for', '/table/words'
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.returncode == 0, process.stderr
        assert until(lambda: len(heard) == 3)
        assert 'replay: 5 messages in 0.' in process.stdout

    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_ends_cleanly_when_asked_to(self, graph, five: Path, number: int) -> None:
        heard = graph.collect(String, '/a')
        command = self.command(five, '--loop', '--rate', 4, '--clock')
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert until(lambda: len(heard) > 4, 60.0)
            process.send_signal(number)
            out, error = process.communicate(timeout=20)
        assert process.returncode == 0, error
        assert 'Traceback' not in error
        assert re.search(r'replay: \d+ messages in', out)

    def test_an_interrupt_that_comes_while_it_ends_does_not_abort_it(self, five: Path) -> None:
        code = (
            'import os, signal, sys, rclpy\n'
            'shut_down = rclpy.try_shutdown\n'
            'def late():\n'
            '    os.kill(os.getpid(), signal.SIGINT)\n'
            '    shut_down()\n'
            'rclpy.try_shutdown = late\n'
            'from aitable_ros.tools.replay.command import main\n'
            "sys.exit(main([sys.argv[1], '--rate', '100', '--quiet']))\n"
        )
        command = [sys.executable, '-c', code, str(five)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert process.returncode == 0, process.stderr

    def test_service_pauses(self, graph, five: Path) -> None:
        heard = graph.collect(String, '/a')
        with subprocess.Popen(
            self.command(five, '--loop', '--rate', 10, '--paused', '--quiet'),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            answer = graph.call_process(SetBool, '/replay/set_paused', SetBool.Request(data=False))
            assert (answer.success, answer.message) == (True, 'going on')
            assert until(lambda: len(heard) > 3)
            graph.call_process(SetBool, '/replay/set_paused', SetBool.Request(data=True))
            time.sleep(0.3)
            so_far = len(heard)
            time.sleep(0.5)
            assert len(heard) == so_far
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, '')

    def test_space_bar_pauses(self, graph, five: Path) -> None:
        heard = graph.collect(String, '/a')
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        command = self.command(five, '--rate', 20, '--paused', '--wait-for', '/a', '--delay', 0.3)
        with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE) as process:
            try:
                assert until(lambda: termios.tcgetattr(theirs) != before, 60.0), 'nobody listens'
                time.sleep(1.0)
                assert heard == []
                os.write(ours, b'x ')
                assert until(lambda: len(heard) == 3)
                assert process.wait(timeout=20) == 0
            finally:
                process.kill()
        assert termios.tcgetattr(theirs) == before
        os.close(ours)
        os.close(theirs)

    def test_messages_that_are_announced_and_do_not_come_are_told(
        self, graph, tmp_path: Path
    ) -> None:
        bag = make_bag(tmp_path / 'bag', ('/a', 0.0, 'text'))
        announce_more(bag, '/a', 2)
        process = subprocess.run(self.command(bag), capture_output=True, text=True, timeout=60)
        assert process.returncode == 1
        assert process.stderr.endswith(
            f'replay: warning: {bag}: 2 of the 3 messages on /a that it announces did not come\n'
        )

    @pytest.mark.parametrize(
        ('arguments', 'status', 'complaint'),
        [
            (('--topics', '/c'), 1, 'replay: error: .*no topic /c; its topics: /a, /b'),
            (('--rate', '0'), 2, 'replay: error: rate 0.0 is not in 0..1000'),
            (('--remap', 'no rule'), 1, 'error: .*no rule.*'),
        ],
    )
    def test_mistakes(self, five: Path, arguments, status: int, complaint: str) -> None:
        process = subprocess.run(
            self.command(five, *arguments), capture_output=True, text=True, timeout=60
        )
        assert process.returncode == status
        assert re.fullmatch(complaint, process.stderr.splitlines()[-1])
        assert 'Traceback' not in process.stderr
