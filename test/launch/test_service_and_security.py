# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Systemd unit and security policy against the running system (test/launch_fixtures.py)."""

from __future__ import annotations

import configparser
import fnmatch
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from launch_fixtures import HOW_TO_RUN, has_nodes, node_names
from ros_fixtures import until

pytest.importorskip('launch_ros', reason='launch_ros ' + HOW_TO_RUN)

from sensor_msgs.msg import Image

from aitable_msgs.msg import Fatigue
from aitable_ros.paths import share_dir

pytestmark = pytest.mark.models


@pytest.fixture
def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(share_dir() / 'config' / 'systemd' / 'aitable.service')
    return parser['Service']


def test_the_command_of_the_unit_starts_the_system_and_ends_as_it_says(
    graph, engines_dir, started, unit, monkeypatch, tmp_path
):
    # here the environment is set up already
    setup = tmp_path / 'setup.bash'
    setup.write_text('')
    monkeypatch.setenv('AITABLE_SETUP', str(setup))
    monkeypatch.setenv('AITABLE_ARGUMENTS', 'source:=sample overlay:=false')
    process = started(*(word.replace('$$', '$') for word in shlex.split(unit['ExecStart'])))
    heard = graph.collect(Fatigue, '/fatigue')
    assert until(lambda: heard, 60), process.text
    assert '/overlay' not in node_names(graph)
    # SIGINT to the main process alone, as KillMode=mixed does
    assert (unit['KillSignal'], unit['KillMode']) == ('SIGINT', 'mixed')
    process.interrupt()
    assert process.ends(float(unit['TimeoutStopSec']))
    assert process.status in {0, *map(int, unit['SuccessExitStatus'].split())}
    assert has_nodes(graph, set())


def allowed():
    """Read the policy as patterns, by what is allowed."""
    rules = {kind: set() for kind in ('publish', 'subscribe', 'reply')}
    tree = ElementTree.parse(share_dir() / 'config' / 'sros2' / 'policy.xml')
    for profile in tree.iter('profile'):
        namespace = profile.get('ns').rstrip('/')
        for group in profile:
            for kind in rules:
                if group.get(kind) == 'ALLOW':
                    rules[kind] |= {
                        resolved(expression.text, namespace, profile.get('node'))
                        for expression in group
                    }
    return rules


def resolved(name, namespace, node):
    if name.startswith('~/'):
        return f'{namespace}/{node}/{name[2:]}'
    return name if name.startswith('/') else f'{namespace}/{name}'


def done_by(graph):
    """Ask the graph what the nodes publish, subscribe to and serve."""
    peer = graph.peer
    done = {'publish': set(), 'subscribe': set(), 'reply': set()}
    for full_name in node_names(graph):
        namespace, _, name = full_name.rpartition('/')
        for kind, ask in (
            ('publish', peer.get_publisher_names_and_types_by_node),
            ('subscribe', peer.get_subscriber_names_and_types_by_node),
            ('reply', peer.get_service_names_and_types_by_node),
        ):
            done[kind] |= {topic for topic, _ in ask(name, namespace or '/')}
    return done


def test_the_policy_allows_all_that_the_system_does_and_no_other_topic(
    graph, engines_dir, launched
):
    process = launched(
        Path(share_dir()) / 'launch' / 'aitable.launch.py', 'source:=sample', 'posture:=true'
    )
    heard = graph.collect(Fatigue, '/fatigue')
    # unless somebody looks, the overlay subscribes to nothing
    pictures = graph.collect(Image, '/overlay', 1)
    assert until(lambda: heard and pictures, 60), process.text
    known = {'publish': '/fatigue', 'subscribe': '/camera_info', 'reply': '/fatigue/get_state'}
    # what was not discovered yet cannot be compared
    assert until(lambda: all(name in done_by(graph)[kind] for kind, name in known.items()))
    done = done_by(graph)
    rules = allowed()
    for kind, names in done.items():
        refused = {
            name
            for name in names
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in rules[kind])
        }
        assert refused == set(), kind
    assert not any(fnmatch.fnmatchcase('/cmd_vel', pattern) for pattern in rules['publish'])
