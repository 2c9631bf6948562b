# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""wait_until_active ends when nodes are active, and does not wait for those that never will be."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from ros_fixtures import graph, until

from aitable_ros.tools.wait_until_active import Watch

__all__ = ['graph']


def test_an_active_node_needs_no_waiting():
    watch = Watch(patience_s=5.0)
    watch.see('active', 0.0)
    assert watch.done
    assert not watch.given_up


def test_a_node_that_loads_is_waited_for_and_one_that_rests_is_given_up():
    watch = Watch(patience_s=5.0)
    watch.see('unconfigured', 0.0)
    watch.see('configuring', 4.0)
    watch.see('configuring', 100.0)
    assert not watch.done
    watch.see('unconfigured', 101.0)
    watch.see('unconfigured', 105.9)
    assert not watch.done
    watch.see('unconfigured', 106.0)
    assert watch.given_up
    assert watch.done


def test_a_node_that_somebody_wakes_after_all_is_active():
    watch = Watch(patience_s=1.0)
    for now_s in (0.0, 1.0):
        watch.see('inactive', now_s)
    assert watch.given_up
    watch.see('active', 2.0)
    assert watch.done
    assert not watch.given_up


@pytest.fixture
def waiting():
    """Start the tool in a process of its own; end it with the test."""
    processes = []

    def start(*arguments):
        command = [sys.executable, '-m', 'aitable_ros.tools.wait_until_active', *arguments]
        processes.append(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.ros
def test_it_ends_as_soon_as_the_nodes_are_active(graph, waiting):
    from aitable_ros.nodes.image_source_node import ImageSourceNode

    process = waiting('/image_source', '--timeout', '30', '--patience', '20')
    node = graph.make(ImageSourceNode, autostart=False)
    time.sleep(1.0)
    assert process.poll() is None
    graph.run(node.trigger_configure)
    graph.run(node.trigger_activate)
    assert until(lambda: process.poll() is not None, 20)
    assert process.returncode == 0


@pytest.mark.ros
def test_it_names_those_that_are_not(graph, waiting):
    from aitable_ros.nodes.image_source_node import ImageSourceNode

    graph.make(ImageSourceNode, autostart=False)
    process = waiting('/image_source', '/nobody', '--timeout', '8', '--patience', '0.5')
    assert until(lambda: process.poll() is not None, 40)
    assert process.returncode == 1
    complaint = process.stderr.read()
    assert '/image_source is unconfigured' in complaint
    assert '/nobody was not found' in complaint
