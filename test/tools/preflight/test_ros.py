# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from aitable_ros.tools.preflight.check import Status
from aitable_ros.tools.preflight.ros import check_ros, check_transport


class TestRos:
    def test_an_rclpy_that_does_not_fit(self, modules: Callable[..., None]) -> None:
        modules('rclpy.__init__', 'raise ImportError("No module named rclpy._rclpy_pybind11")')
        (check,) = check_ros({'ROS_DISTRO': 'jazzy'})
        assert check.status is Status.ERROR
        assert '_rclpy_pybind11' in check.summary

    def test_a_middleware_that_is_not_installed(self, modules: Callable[..., None]) -> None:
        """As rcl does when it is loaded: it prints the reason and ends the process."""
        reason = 'RMW implementation not installed (expected rmw_cyclonedds_cpp)'
        modules('rclpy.__init__', f'import os; os.write(2, {reason!r}.encode()); os._exit(1)')
        (check,) = check_ros({'ROS_DISTRO': 'jazzy', 'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'})
        assert check.status is Status.ERROR
        assert check.summary.endswith(f'exited with status 1 ({reason})')
        assert 'unset RMW_IMPLEMENTATION' in check.advice

    @pytest.mark.ros
    def test_here(self) -> None:
        pytest.importorskip('rclpy')
        environment = {'ROS_DISTRO': 'jazzy', **os.environ, 'ROS_DOMAIN_ID': '7'}
        found = {check.name: check for check in check_ros(environment)}
        assert found['ros'].status is Status.OK
        assert found['ros'].summary.startswith(f'ROS 2 {environment["ROS_DISTRO"]}, rclpy ')
        assert 'domain 7' in found['transport'].summary
        assert found['messages'].status in (Status.OK, Status.ERROR)

    @pytest.mark.parametrize('built', [(), ('Emotion', 'Face', 'FaceArray', 'Fatigue')])
    def test_messages_that_were_not_built(
        self, built: tuple[str, ...], modules: Callable[..., None]
    ) -> None:
        """At all, or not since Posture was added."""
        pytest.importorskip('rclpy')
        modules('aitable_msgs.msg', '\n'.join(f'class {name}: pass' for name in built))
        found = {check.name: check for check in check_ros(dict(os.environ))}
        assert found['messages'].status is Status.ERROR
        assert 'colcon build' in found['messages'].advice

    @pytest.mark.parametrize(
        ('environment', 'middleware', 'status', 'told'),
        [
            ({}, 'rmw_fastrtps_cpp', Status.OK, 'domain 0; the nodes take'),
            ({}, 'rmw_cyclonedds_cpp', Status.OK, 'its own settings'),
            ({'ROS_DOMAIN_ID': '240'}, 'rmw_fastrtps_cpp', Status.WARNING, "is '240'"),
            ({'ROS_DOMAIN_ID': '-1'}, 'rmw_fastrtps_cpp', Status.WARNING, "is '-1'"),
            (
                {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'},
                'rmw_fastrtps_cpp',
                Status.OK,
                'this machine only',
            ),
            (
                {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'},
                'rmw_fastrtps_cpp',
                Status.OK,
                'FASTDDS_BUILTIN_TRANSPORTS=UDPv4 (yours',
            ),
            (
                {
                    'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4',
                    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                },
                'rmw_fastrtps_cpp',
                Status.WARNING,
                'LOCALHOST undoes the transports chosen',
            ),
            (
                {'FASTRTPS_DEFAULT_PROFILES_FILE': '/nowhere.xml'},
                'rmw_fastrtps_cpp',
                Status.WARNING,
                '/nowhere.xml, which is not there',
            ),
        ],
    )
    def test_transport(
        self, environment: dict[str, str], middleware: str, status: Status, told: str
    ) -> None:
        (check,) = check_transport(environment, middleware)
        assert check.status is status
        assert told in check.summary
