# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The sample bag from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitable_ros.bags import BagReader
from aitable_ros.tools.sample_bag import main

SMALL = ('--seconds', '0.3', '--fps', '10', '--width', '160', '--height', '120')


@pytest.mark.parametrize(
    ('images', 'topics'),
    [
        ('raw', {'/cam/image'}),
        ('compressed', {'/cam/image/compressed'}),
        ('both', {'/cam/image', '/cam/image/compressed'}),
    ],
)
def test_choices(tmp_path: Path, capsys, images: str, topics: set[str]) -> None:
    out = tmp_path / 'out.db3'
    assert main([str(out), *SMALL, '--images', images, '--topic', '/cam/image']) == 0
    assert capsys.readouterr().out == f'{out}: 3 images, 0.3 s, sqlite3\n'
    with BagReader(out) as bag:
        assert {topic.name for topic in bag.topics} == {'/cam/camera_info', *topics}


def test_folder_storage_and_no_calibration(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert main([str(out), *SMALL, '--storage', 'sqlite3', '--no-camera-info']) == 0
    assert (out / 'out_0.db3').is_file()
    with BagReader(out) as bag:
        assert [topic.name for topic in bag.topics] == ['/image_raw/compressed']


def test_mistakes_in_one_line(tmp_path: Path, capsys) -> None:
    out = str(tmp_path / 'out.mcap')
    for arguments in ([out, *SMALL], [out, *SMALL], [out, *SMALL, '--fps', '-1']):
        main(arguments)
    assert capsys.readouterr().err.splitlines() == [
        f'sample_bag: error: {out} exists: give --force to replace it',
        'sample_bag: error: 0.3 s at -1.0 Hz: out of range',
    ]
    assert main([out, *SMALL, '--force']) == 0
