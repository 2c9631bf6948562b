# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""systemd takes the unit as it is."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from aitable_ros.paths import share_dir


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='systemd is not installed')
def test_systemd_has_nothing_to_say_about_it():
    unit = share_dir() / 'config' / 'systemd' / 'aitable.service'
    done = subprocess.run(
        ['systemd-analyze', 'verify', str(unit)], capture_output=True, text=True, check=False
    )
    # it names what is amiss on stderr, by the unit's name, and other units' troubles, too
    assert [line for line in done.stderr.splitlines() if 'aitable' in line] == []
