# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether ROS 2 works in this Python, with aitable's messages and which transport."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from aitable_ros.tools.installed import is_there, version_of
from aitable_ros.tools.isolation import run_isolated
from aitable_ros.tools.preflight_check import PROBE_TIMEOUT_S, Check, Status

MAX_DOMAIN_ID = 101
"""Higher ROS domains use UDP ports that Linux also gives to others; ROS 2, 'The ROS_DOMAIN_ID'."""


def check_ros(environment: Mapping[str, str], ros_root: Path = Path('/opt/ros')) -> list[Check]:
    """
    Look for ROS 2 (distribution, rclpy, middleware), aitable's messages and the transport.

    :param environment: environment variables.
    :param ros_root: where ROS distributions are installed.
    """
    distribution = environment.get('ROS_DISTRO', '')
    if not is_there('rclpy'):
        setups = sorted(ros_root.glob('*/setup.bash'))
        if environment.get('ROS_VERSION') == '1':
            advice = f'{distribution} is ROS 1; aitable needs ROS 2'
        elif setups and not distribution:
            advice = f'source {setups[-1]}'
        elif distribution:
            advice = (
                f'ROS {distribution} is sourced, but not for this Python ({sys.executable}):'
                ' use the one that it was built for, not one of conda or another version'
            )
        else:
            advice = 'install ROS 2, or source scripts/ros_env.sh; without it only analyze works'
        return [Check('ros', Status.ERROR, 'module rclpy is not installed', advice)]
    outcome = run_isolated(probe_ros, timeout_s=PROBE_TIMEOUT_S)
    found: dict[str, str] = {}
    for message in outcome.messages:
        found.update(message)
    name = f'ROS 2 {distribution or "of unknown distribution (ROS_DISTRO is not set)"}'
    if 'rclpy' not in found:
        reason = found.get('failure') or outcome.failure
        advice = (
            'rclpy works with the Python that it was built for, and after its setup.bash was'
            ' sourced'
        )
        middleware = environment.get('RMW_IMPLEMENTATION')
        if middleware and 'failure' not in found:  # rcl then ends the process that imports it
            package = f'ros-{distribution or "<distribution>"}-{middleware.replace("_", "-")}'
            advice = (
                f'RMW_IMPLEMENTATION asks for {middleware}: install it (sudo apt install'
                f' {package}), or unset RMW_IMPLEMENTATION'
            )
        return [Check('ros', Status.ERROR, f'{name}: rclpy cannot be imported: {reason}', advice)]
    checks = [
        Check(
            'ros',
            Status.OK if distribution else Status.WARNING,
            f'{name}, rclpy {found["rclpy"]}',
            '' if distribution else 'source the setup.bash of your ROS installation',
        )
    ]
    if 'messages' in found:
        checks.append(Check('messages', Status.OK, f'aitable_msgs ({found["messages"]})'))
    else:
        reason = found.get('messages failure') or outcome.failure
        checks.append(
            Check(
                'messages',
                Status.ERROR,
                f'aitable_msgs cannot be imported: {reason}',
                'colcon build, then source install/setup.bash',
            )
        )
    if 'middleware' in found:
        checks += check_transport(environment, found['middleware'])
    else:
        reason = found.get('middleware failure') or outcome.failure
        checks.append(
            Check(
                'transport',
                Status.ERROR,
                f'the middleware ({environment.get("RMW_IMPLEMENTATION") or "the default one"})'
                f' cannot be loaded: {reason}',
                'install it, or choose another one: unset RMW_IMPLEMENTATION',
            )
        )
    return checks


def probe_ros() -> Iterator[dict[str, str]]:
    """Import rclpy and the messages, load the middleware; yield what was found."""
    try:
        rclpy = importlib.import_module('rclpy')
    except Exception as error:
        yield {'failure': f'{type(error).__name__}: {error}'}
        return
    yield {'rclpy': version_of('rclpy') or str(Path(str(rclpy.__file__)).parent)}
    try:
        messages = importlib.import_module('aitable_msgs.msg')
        # A folder of .msg files in the path can be imported, too.
        for name in ('Emotion', 'Face', 'FaceArray', 'Fatigue', 'Posture'):
            getattr(messages, name)
        yield {'messages': str(Path(str(messages.__file__)).parent)}
    except Exception as error:
        yield {'messages failure': f'{type(error).__name__}: {error}'}
    try:
        utilities = importlib.import_module('rclpy.utilities')
        yield {'middleware': utilities.get_rmw_implementation_identifier()}
    except Exception as error:
        yield {'middleware failure': f'{type(error).__name__}: {error}'}


def check_transport(environment: Mapping[str, str], middleware: str) -> list[Check]:
    """
    Look at the settings with which images travel between processes.

    :param environment: environment variables.
    :param middleware: name of the one that rclpy loaded, as ``rmw_fastrtps_cpp``.
    """
    transport = importlib.import_module('aitable_ros.ros_support.transport')
    problems: list[tuple[str, str]] = []
    if middleware.startswith('rmw_fastrtps'):
        chosen = {n: environment[n] for n in transport.USER_VARIABLES if environment.get(n)}
        ours = transport.profile_file()
        for name in transport.PROFILE_VARIABLES:
            if name in chosen and not Path(chosen[name]).is_file():
                problems.append(
                    (f'{name} names {chosen[name]}, which is not there', f'unset {name}')
                )
        if not chosen:
            settings = f'the nodes take {ours}'
        elif all(Path(value) == ours for value in chosen.values()):
            settings = str(ours)
        else:
            settings = ', '.join(f'{name}={value}' for name, value in chosen.items())
            settings += ' (yours; docs/transport.md says what images need)'
    else:
        settings = 'its own settings (docs/transport.md is about Fast DDS)'
    domain = environment.get('ROS_DOMAIN_ID', '') or '0'
    if not domain.isdecimal() or int(domain) > MAX_DOMAIN_ID:
        problems.append(
            (f'ROS_DOMAIN_ID is {domain!r}', f'choose a number from 0 to {MAX_DOMAIN_ID}')
        )
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    if environment.get('ROS_LOCALHOST_ONLY') == '1' or reach in ('LOCALHOST', 'OFF'):
        domain += ', this machine only'
    summary = f'{middleware}, domain {domain}; {settings}'
    if not problems:
        return [Check('transport', Status.OK, summary)]
    return [Check('transport', Status.WARNING, f'{text}; {summary}', do) for text, do in problems]
