# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The Fast DDS settings with which camera images cross process borders whole.

With its defaults Fast DDS loses most 640x480 images between two processes: an image is larger
than the shared-memory segment (512 KiB) and than a socket buffer. config/fastdds.xml enlarges both
and keeps UDP, so that any other participant is still found. docs/transport.md has the figures.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path

from aitable_ros.paths import share_dir

PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
"""Where Fast DDS 2 (Humble, Jazzy) and Fast DDS 3 (Kilted and later) look for the file. Fast DDS 3
warns at every start where the older one is set."""

_SEGMENT = re.compile('/dev/shm/fast(rtps|dds)_[0-9a-f]+')

USER_VARIABLES = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')
"""Variables by which a user chooses the transports: one that is set is never overruled."""


def profile_file() -> Path:
    """
    Return the path of config/fastdds.xml.

    :raises FileNotFoundError: when it is not installed.
    """
    path = share_dir() / 'config' / 'fastdds.xml'
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing')
    return path


def transport_settings(environment: MutableMapping[str, str]) -> dict[str, str]:
    """
    Return the variables to add to an environment.

    :param environment: the variables that are set.
    :returns: names and values; empty when the user chose the transports, or another middleware.
    :raises FileNotFoundError: as :func:`profile_file`.
    """
    if any(environment.get(name) for name in USER_VARIABLES):
        return {}
    if not environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp').startswith('rmw_fastrtps'):
        return {}
    names = profile_variables(environment)
    return {name: str(profile_file()) for name in names}


def profile_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return those of :data:`PROFILE_VARIABLES` that the distribution reads.

    :param environment: whose ROS_DISTRO says which one it is; without, it may be either.
    """
    distro = environment.get('ROS_DISTRO')
    if not distro:
        return PROFILE_VARIABLES
    return PROFILE_VARIABLES[:1] if distro in ('humble', 'jazzy') else PROFILE_VARIABLES[1:]


def local_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables with which no other machine finds a process, nor is found by it.

    :param environment: the variables that are set.
    """
    if environment.get('ROS_DISTRO') == 'humble':
        return {'ROS_LOCALHOST_ONLY': '1'}
    return {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_STATIC_PEERS': ''}


def configure_transport(environment: MutableMapping[str, str] | None = None) -> dict[str, str]:
    """
    Choose the shipped transport settings, unless the user chose some; before ``rclpy.init``.

    :param environment: the variables to change; this process's when not given.
    :returns: what was set; empty when the environment was left alone.
    :raises FileNotFoundError: as :func:`profile_file`.
    """
    environment = os.environ if environment is None else environment
    added = transport_settings(environment)
    environment.update(added)
    return added


def keep_shared_memory_private() -> None:
    """
    Let no other user of the machine read what this process shares, pictures above all.

    Fast DDS makes the files of a participant, with its first node, readable by everybody whatever
    the umask, and a process that is killed leaves them. Other users' processes lose nothing: Fast
    DDS opens them for writing, which they never could. Call it when a node was made.
    """
    with suppress(OSError):
        for line in Path('/proc/self/maps').read_text(encoding='utf-8').splitlines():
            name = line.rpartition(' ')[2]
            if _SEGMENT.fullmatch(name) and Path(name).stat().st_uid == os.geteuid():
                Path(name).chmod(0o600)


def main() -> int:
    """Print shell commands that set what :func:`configure_transport` would."""
    for name, value in transport_settings(os.environ).items():
        print(f'export {name}={shlex.quote(value)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
