# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What scripts/benchmarks computes with; no nodes are started."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / 'scripts' / 'benchmarks'))
composition, measured_nodes, sample_camera = map(
    importlib.import_module, ('composition', 'measured_nodes', 'sample_camera')
)

COMPOSED = measured_nodes.Side('composed')
SEPARATE = measured_nodes.Side('separate', composed=False)
TICKS = os.sysconf('SC_CLK_TCK')


def process(proc, pid, utime, stime, pss_kb=0, name='python'):
    """Write what procfs has of a process; as proc(5) says, the name may hold anything."""
    folder = proc / str(pid)
    folder.mkdir()
    fields = ['S', *['0'] * 10, str(utime), str(stime), '999', '999', '20']
    (folder / 'stat').write_text(f'{pid} ({name}) {" ".join(fields)}\n')
    (folder / 'smaps_rollup').write_text(
        f'00400000-7ffd00000000 ---p 00000000 00:00 0 [rollup]\nRss: {9 * pss_kb} kB\n'
        f'Pss:     {pss_kb} kB\nPss_Dirty: 1 kB\n'
    )


def a_round(cpu_s=1.0, sent=100, answered=100, latency_ms=(5.0,)):
    return sample_camera.Round(
        sent, answered, {'faces': sent - answered}, cpu_s, 0.1, {'faces': latency_ms}
    )


class TestProcesses:
    def test_user_and_system_time_of_all_are_summed(self, tmp_path):
        process(tmp_path, 1, 3 * TICKS, TICKS)
        process(tmp_path, 2, TICKS, 0, name='a (strange) name 1 2 3')
        assert measured_nodes.cpu_s([1, 2], tmp_path) == pytest.approx(5.0)

    def test_this_process(self):
        before, own = measured_nodes.cpu_s([os.getpid()]), time.process_time()
        while time.process_time() - own < 0.2:
            pass
        spent = measured_nodes.cpu_s([os.getpid()]) - before
        assert spent == pytest.approx(time.process_time() - own, abs=3 / TICKS)

    def test_one_that_ended_is_an_error(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            measured_nodes.cpu_s([1], tmp_path)

    def test_memory_is_the_proportional_one(self, tmp_path):
        process(tmp_path, 1, 0, 0, pss_kb=1000)
        process(tmp_path, 2, 0, 0, pss_kb=3000)
        assert measured_nodes.pss_mb([1, 2], tmp_path) == pytest.approx(4.096)
        assert math.isnan(measured_nodes.pss_mb([3], tmp_path))


@pytest.mark.parametrize(('order', 'flag'), [('<', 1), ('>', 0)])
def test_the_stamp_is_read_from_either_byte_order(order, flag):
    serialized = bytes((0, flag, 0, 0)) + struct.pack(order + 'iI', 1_795_355_864, 197_597_759)
    assert sample_camera.header_stamp(serialized + b'rest') == (1_795_355_864, 197_597_759)


def test_the_stamp_is_read_as_the_middleware_writes_it():
    serialization = pytest.importorskip('rclpy.serialization', reason='ROS 2 is not installed')
    from aitable_msgs.msg import Fatigue

    message = Fatigue(face_id='f1')
    message.header.stamp.sec, message.header.stamp.nanosec = 12, 34
    assert sample_camera.header_stamp(serialization.serialize_message(message)) == (12, 34)


def test_the_sample_never_jumps():
    assert sample_camera.back_and_forth(4) == [0, 1, 2, 3, 2, 1]
    assert sample_camera.back_and_forth(1) == [0]


class TestCommands:
    def test_one_container_or_a_process_for_each_node(self):
        nodes = ('face_detection', 'emotion')
        (container,) = COMPOSED.commands(nodes)
        assert 'components:=[face_detection,emotion]' in container
        modules = [command[2] for command in SEPARATE.commands(nodes)]
        assert modules == [f'aitable_ros.nodes.{node}_node' for node in nodes]

    def test_both_get_the_same_parameters_in_namespaces_of_their_own(self):
        (container,) = COMPOSED.commands(('emotion',))
        (node,) = SEPARATE.commands(('emotion',))
        renamed = [text.replace('/composed', '/separate') for text in container[3:-2]]
        assert renamed == node[3:]


class TestFigures:
    def test_cpu_is_counted_for_images_that_were_answered(self):
        assert a_round(cpu_s=1.0, answered=100).cpu_ms == pytest.approx(10.0)
        assert a_round(cpu_s=1.0, answered=50).cpu_ms == pytest.approx(20.0)
        assert math.isnan(a_round(answered=0).cpu_ms)

    def test_medians_over_rounds_quantiles_over_images(self):
        rounds = [
            a_round(cpu_s=1.0, latency_ms=(1.0, 2.0)),
            a_round(cpu_s=1.2, latency_ms=(3.0,), answered=90),
            a_round(cpu_s=9.0, latency_ms=(4.0, 100.0)),
        ]
        figures = composition.summarize(rounds, rate_hz=30.0)
        middle = 1e3 * 1.2 / 90
        quartiles = (middle, (10.0 + middle) / 2, (middle + 90.0) / 2)
        assert figures['cpu_ms'] == pytest.approx(quartiles)
        assert figures['cpu_percent_of_a_core'] == pytest.approx(36.0)
        assert (figures['sent'], figures['answered']) == (300, 290)
        assert figures['lost_percent'] == pytest.approx(100 / 30)
        assert figures['latency_ms']['faces'][0] == 3.0
        assert figures['latency_ms']['faces'][1] == pytest.approx(96.16)

    def test_a_topic_without_an_answer_has_no_latency(self):
        figures = composition.summarize([a_round(answered=0, latency_ms=())], rate_hz=30.0)
        assert math.isnan(figures['latency_ms']['faces'][0])
        assert figures['lost_percent'] == 100.0

    def test_the_ratio_compares_rounds_that_ran_side_by_side(self):
        assert composition.ratios([10.0, 40.0], [20.0, 50.0]) == pytest.approx([0.5, 0.8])


def test_another_checkout_runs_its_own_code_and_messages(tmp_path):
    for folder in ('aitable_ros', '.ros/install/lib/python3.11/site-packages/aitable_msgs'):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / '__init__.py').touch()
    side = measured_nodes.Side('other', root=tmp_path)
    code = 'import aitable_msgs, aitable_ros; print(aitable_msgs.__file__, aitable_ros.__file__)'
    shown = subprocess.run(
        [sys.executable, '-c', code],
        cwd=side.root,
        env=side.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert all(Path(file).is_relative_to(tmp_path) for file in shown.stdout.split())
    (command,) = side.commands(('emotion',))
    assert str(tmp_path / 'config' / 'aitable.yaml') in command
