# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Choosing the transport: the shipped profile, unless the user chose something."""

from __future__ import annotations

import re
import stat
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from aitable_ros.ros_support.process.transport import (
    PROFILE_VARIABLES,
    configure_transport,
    local_settings,
    main,
    profile_file,
)

NAMESPACE = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'


@pytest.mark.parametrize(
    ('distro', 'names'),
    [
        ({'ROS_DISTRO': 'humble'}, PROFILE_VARIABLES[:1]),
        ({'ROS_DISTRO': 'jazzy'}, PROFILE_VARIABLES[:1]),
        ({'ROS_DISTRO': 'kilted'}, PROFILE_VARIABLES[1:]),
        ({'ROS_DISTRO': 'rolling'}, PROFILE_VARIABLES[1:]),
        ({}, PROFILE_VARIABLES),
    ],
)
def test_sets_the_shipped_profile_by_the_name_that_the_distribution_reads(distro, names):
    environment: dict[str, str] = dict(distro)
    added = configure_transport(environment)
    assert added == {name: str(profile_file()) for name in names}
    assert environment == distro | added


@pytest.mark.parametrize(
    'chosen',
    [
        {'FASTRTPS_DEFAULT_PROFILES_FILE': '/etc/mine.xml'},
        {'FASTDDS_DEFAULT_PROFILES_FILE': '/etc/mine.xml'},
        {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'},
        {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'},
        {'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'},
    ],
    ids=lambda chosen: next(iter(chosen.items())),
)
def test_leaves_what_the_user_chose(chosen):
    environment = dict(chosen)
    assert configure_transport(environment) == {}
    assert environment == chosen


@pytest.mark.parametrize('name', ['rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp'])
def test_applies_to_every_fast_dds_middleware(name):
    assert configure_transport({'RMW_IMPLEMENTATION': name})


def test_a_second_call_changes_nothing():
    environment: dict[str, str] = {}
    configure_transport(environment)
    assert configure_transport(environment) == {}


def test_prints_commands_for_the_shell(monkeypatch, capsys):
    chosen = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS', 'RMW_IMPLEMENTATION')
    for name in (*chosen, 'ROS_DISTRO'):
        monkeypatch.delenv(name, raising=False)
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f'export {name}={profile_file()}' for name in PROFILE_VARIABLES]


def test_the_profile_holds_an_image_of_1920x1080_and_keeps_udp():
    root = ElementTree.parse(profile_file()).getroot()
    transports = {
        item.findtext(f'{NAMESPACE}type'): item
        for item in root.iter(f'{NAMESPACE}transport_descriptor')
    }
    assert set(transports) == {'SHM', 'UDPv4'}
    assert int(transports['SHM'].findtext(f'{NAMESPACE}segment_size')) > 1920 * 1080 * 3
    participant = root.find(f'{NAMESPACE}participant')
    assert participant.get('is_default_profile') == 'true'
    used = {item.text for item in participant.iter(f'{NAMESPACE}transport_id')}
    assert used == {item.findtext(f'{NAMESPACE}transport_id') for item in transports.values()}


@pytest.mark.parametrize(
    ('distro', 'added'),
    [
        ('humble', {'ROS_LOCALHOST_ONLY': '1'}),
        ('jazzy', {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_STATIC_PEERS': ''}),
    ],
)
def test_how_to_stay_on_this_machine_depends_on_the_distribution(distro, added):
    assert local_settings({'ROS_DISTRO': distro}) == added


def test_nobody_else_can_read_what_the_nodes_share(graph):
    from managed_nodes import Summer

    graph.make(Summer)
    mapped = Path('/proc/self/maps').read_text()
    segments = set(re.findall(r'/dev/shm/fast(?:rtps|dds)_[0-9a-f]{16}$', mapped, re.MULTILINE))
    if not segments:
        pytest.skip('the middleware shares no memory here')
    assert {stat.S_IMODE(Path(segment).stat().st_mode) for segment in segments} == {0o600}
