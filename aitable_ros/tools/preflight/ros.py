# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether ROS 2 works in this Python, with aitable's messages and which transport."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from aitable_ros.tools.preflight.check import PROBE_TIMEOUT_S, Check, Status
from aitable_ros.tools.support.installed import is_there, version_of
from aitable_ros.tools.support.isolation import run_isolated

MAX_DOMAIN_ID = 101
"""Higher ROS domains use UDP ports that Linux also gives to others; ROS 2, 'The ROS_DOMAIN_ID'."""

_FITS = 'rclpy works with the Python that it was built for, after its setup.bash'
_MIDDLEWARE = 'install the middleware that RMW_IMPLEMENTATION names, or unset RMW_IMPLEMENTATION'


def check_ros(environment: Mapping[str, str]) -> list[Check]:
    """
    Look for ROS 2 (distribution, rclpy, middleware), aitable's messages and the transport.

    :param environment: environment variables.
    """
    if not is_there('rclpy'):
        advice = f'source the setup.bash of ROS 2, or scripts/ros_env.sh; {_FITS}'
        return [Check('ros', Status.ERROR, 'module rclpy is not installed', advice)]
    name = f'ROS 2 {environment.get("ROS_DISTRO") or "(ROS_DISTRO is not set)"}'
    outcome = run_isolated(probe_ros, timeout_s=PROBE_TIMEOUT_S)
    found = dict(outcome.messages)
    if 'rclpy' not in found:
        what = f'{name}: rclpy cannot be imported: {outcome.failure}'
        return [Check('ros', Status.ERROR, what, f'{_FITS}; {_MIDDLEWARE}')]
    checks = [Check('ros', Status.OK, f'{name}, rclpy {found["rclpy"]}')]
    if 'middleware' not in found:
        what = f'the middleware cannot be loaded: {outcome.failure}'
        return [*checks, Check('transport', Status.ERROR, what, _MIDDLEWARE)]
    messages = Check('messages', Status.OK, f'aitable_msgs ({found.get("messages")})')
    if 'messages' not in found:
        what = f'aitable_msgs cannot be imported: {outcome.failure}'
        advice = 'colcon build, then source install/setup.bash'
        messages = Check('messages', Status.ERROR, what, advice)
    return [*checks, messages, *check_transport(environment, found['middleware'])]


def probe_ros() -> Iterator[tuple[str, str]]:
    """Import rclpy, load the middleware, import the messages; yield what each is."""
    rclpy = importlib.import_module('rclpy')
    yield 'rclpy', version_of('rclpy') or str(Path(str(rclpy.__file__)).parent)
    utilities = importlib.import_module('rclpy.utilities')
    yield 'middleware', utilities.get_rmw_implementation_identifier()
    messages = importlib.import_module('aitable_msgs.msg')
    # A folder of .msg files in the path can be imported, too.
    for name in ('Emotion', 'Face', 'FaceArray', 'Fatigue', 'Posture'):
        getattr(messages, name)
    yield 'messages', str(Path(str(messages.__file__)).parent)


def check_transport(environment: Mapping[str, str], middleware: str) -> list[Check]:
    """
    Look at the settings with which images travel between processes.

    :param environment: environment variables.
    :param middleware: name of the one that rclpy loaded, as ``rmw_fastrtps_cpp``.
    """
    transport = importlib.import_module('aitable_ros.ros_support.process.transport')
    problems: list[tuple[str, str]] = []
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    settings = 'its own settings (docs/transport.md is about Fast DDS)'
    if middleware.startswith('rmw_fastrtps'):
        chosen = {n: environment[n] for n in transport.USER_VARIABLES if environment.get(n)}
        ours = transport.profile_file()
        for name in transport.PROFILE_VARIABLES:
            if name in chosen and not Path(chosen[name]).is_file():
                what = f'{name} names {chosen[name]}, which is not there'
                problems.append((what, f'unset {name}'))
        settings = f'the nodes take {ours}'
        if any(Path(value) != ours for value in chosen.values()):
            settings = ', '.join(f'{name}={value}' for name, value in chosen.items())
            settings += ' (yours; docs/transport.md says what images need)'
            if reach == 'LOCALHOST':
                what = 'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST undoes the transports chosen'
                problems.append((what, 'unset it (no network:=local): docs/transport.md'))
    domain = environment.get('ROS_DOMAIN_ID', '') or '0'
    if not domain.isdecimal() or int(domain) > MAX_DOMAIN_ID:
        what = f'ROS_DOMAIN_ID is {domain!r}'
        problems.append((what, f'choose a number from 0 to {MAX_DOMAIN_ID}'))
    if environment.get('ROS_LOCALHOST_ONLY') == '1' or reach in ('LOCALHOST', 'OFF'):
        domain += ', this machine only'
    summary = f'{middleware}, domain {domain}; {settings}'
    if not problems:
        return [Check('transport', Status.OK, summary)]
    return [Check('transport', Status.WARNING, f'{text}; {summary}', do) for text, do in problems]
