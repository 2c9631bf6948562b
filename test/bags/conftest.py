# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A small bag, and where bags are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitable_ros.bags import BagTarget, SampleBag, make_sample_bag

CONTENT = SampleBag(seconds=0.4, fps=10, size_px=(160, 120), raw=True)
"""Four frames: raw and compressed images and the calibration."""

PLACES = ('bag.mcap', 'bag.db3', 'mcap', 'sqlite3')
"""Single files, and folders named by their storage."""


def target_for(folder: Path, place: str, **options: bool) -> BagTarget:
    storage = place if place in ('mcap', 'sqlite3') else None
    return BagTarget.choose(folder / place, storage, 'mcap', **options)


@pytest.fixture(scope='session')
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small bag in every storage; not to be written to."""
    folder = tmp_path_factory.mktemp('bags')
    for place in PLACES:
        make_sample_bag(target_for(folder, place), CONTENT)
    return folder
