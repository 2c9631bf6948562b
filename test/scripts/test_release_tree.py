# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the tools of ROS see of both packages, here and in what is released."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from catkin_pkg.changelog import get_changelog_from_path
from catkin_pkg.packages import find_packages
from catkin_pkg.topological_order import topological_order_packages

ROOT = Path(__file__).resolve().parents[2]
ANNOUNCED = ('CHANGELOG.rst', 'CITATION.cff', 'QUALITY_DECLARATION.md', 'SECURITY.md')


def names(folder: Path) -> list[str]:
    found = topological_order_packages(find_packages(str(folder)))
    return [package.name for _, package in found]


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """The tree that bloom is given."""
    if not (ROOT / '.git').exists():
        pytest.skip('not a clone')
    folder = tmp_path_factory.mktemp('release') / 'tree'
    script = ROOT / 'scripts' / 'maintenance' / 'release_tree.sh'
    subprocess.run([str(script), str(folder)], check=True)
    return folder


def test_here_the_messages_have_to_be_named():
    """As README's rosdep and colcon_defaults.yaml do."""
    assert names(ROOT) == ['aitable_ros']
    assert names(ROOT / 'aitable_msgs') == ['aitable_msgs']


def test_released_are_both_the_messages_first(tree):
    assert names(tree) == ['aitable_msgs', 'aitable_ros']
    assert sorted(path.name for path in tree.iterdir()) == ['aitable_msgs', 'aitable_ros']


def test_each_released_package_has_its_licence_and_changelog(tree):
    for name, package in find_packages(str(tree)).items():
        assert (tree / name / 'LICENSE').read_text() == (ROOT / 'LICENSE').read_text()
        changelog = get_changelog_from_path(str(tree / name / 'CHANGELOG.rst'), package.name)
        assert changelog is not None


def test_what_a_release_needs_is_there():
    assert {name for name in ANNOUNCED if not (ROOT / name).is_file()} == set()


def test_the_citation_has_the_version():
    (package,) = find_packages(str(ROOT)).values()
    assert f'version: {package.version}\n' in (ROOT / 'CITATION.cff').read_text()
