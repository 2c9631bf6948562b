# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The Python helpers of scripts/setup.sh, and the shell functions around them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / 'scripts'
REQUIREMENTS = SCRIPTS.parent / 'requirements'


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / 'maintenance' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


select_requirements = load('select_requirements')
patch_ros_wheels = load('patch_ros_wheels')

WANTED = '# a comment\nscikit-image\nonnx  # why\npinned<2; python_version < "3.11"\n'
LOCK = """\
# made by uv
numlib==1.0 \\
    --hash=sha256:aa
    # via
    #   onnx
    #   scikit-image
onnx==2.0 ; python_version < '3.11' \\
    --hash=sha256:bb
    # via -r ros.in
onnx==3.0 ; python_version >= '3.11' \\
    --hash=sha256:cc \\
    --hash=sha256:dd
    # via -r ros.in
pinned==1.9 \\
    --hash=sha256:ee
    # via -r ros.in
scikit-image==4.0 \\
    --hash=sha256:ff
    # via -r ros.in
tiles==5.0 \\
    --hash=sha256:11
    # via scikit-image
"""


class TestSelectRequirements:
    def select(self, *there):
        lines = select_requirements.select(WANTED, LOCK, lambda package: package in there)
        return [line.split(' ')[0] for line in lines if not line.startswith(' ')], lines

    def test_nothing_when_all_is_there(self):
        assert self.select('scikit-image', 'onnx', 'pinned') == ([], [])

    def test_everything_when_nothing_is(self):
        chosen, lines = self.select()
        assert chosen == [
            'numlib==1.0', 'onnx==2.0', 'onnx==3.0', 'pinned==1.9', 'scikit-image==4.0',
            'tiles==5.0',
        ]  # fmt: skip
        assert [line for line in lines if '#' in line] == []

    def test_a_missing_package_comes_with_all_below_it(self):
        assert self.select('onnx', 'pinned')[0] == [
            'numlib==1.0',
            'scikit-image==4.0',
            'tiles==5.0',
        ]

    def test_every_locked_version_comes_with_its_hashes(self):
        lines = self.select('scikit-image', 'pinned')[1]
        assert sum('sha256:cc' in line or 'sha256:dd' in line for line in lines) == 2

    def test_the_shipped_lock_has_what_the_shipped_list_wants_and_no_numpy(self):
        wanted = select_requirements.requirement_names(
            (REQUIREMENTS / 'ros.in').read_text(encoding='utf-8')
        )
        lock = (REQUIREMENTS / 'ros.lock').read_text(encoding='utf-8')
        lines, _ = select_requirements.parse_lock(lock)
        assert set(wanted) <= set(lines)
        assert {'numpy', 'scipy', 'opencv-python'}.isdisjoint(lines)

    @pytest.mark.parametrize('name', ['jazzy.lock', 'kilted.lock', 'ros.lock'])
    def test_every_locked_package_is_pinned_with_a_hash(self, name):
        lines, _ = select_requirements.parse_lock(
            (REQUIREMENTS / name).read_text(encoding='utf-8')
        )
        assert lines
        for package, text in lines.items():
            assert '==' in text[0], package
            assert any('--hash=sha256:' in line for line in text), package


def test_kilted_s_lock_has_what_jazzy_s_list_wants_by_its_names_and_else_the_same_versions():
    script, wanted = REQUIREMENTS / 'kilted.sed', REQUIREMENTS / 'jazzy.in'
    renamed = subprocess.run(
        ['sed', '-f', str(script), str(wanted)], capture_output=True, text=True, check=True
    ).stdout
    assert 'jazzy' not in renamed
    jazzy, kilted = (
        {
            name: lines[0].split('==')[1].split()[0]
            for name, lines in select_requirements.parse_lock(
                (REQUIREMENTS / f'{distro}.lock').read_text(encoding='utf-8')
            )[0].items()
        }
        for distro in ('jazzy', 'kilted')
    )
    names = set(select_requirements.requirement_names(renamed))
    assert names <= set(kilted)
    assert any(name.startswith('ros-kilted-') for name in names)
    others = {name for name in jazzy if not name.startswith('ros-')}
    assert {name: kilted.get(name) for name in others} == {name: jazzy[name] for name in others}


@pytest.mark.parametrize('arguments', [['--distro', 'humble'], ['--distro'], ['kilted']])
def test_setup_refuses_what_it_does_not_know(tmp_path, arguments):
    shutil.copytree(SCRIPTS, tmp_path / 'scripts')
    result = subprocess.run(
        ['bash', str(tmp_path / 'scripts' / 'setup.sh'), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert '[--distro jazzy|kilted]' in result.stderr


class TestPatchRosWheels:
    BEFORE = (
        'INTERFACE_INCLUDE_DIRECTORIES "/opt/python/cp311-cp311/include/python3.11;'
        '/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include"\n'
    )

    def test_replaces_both_folders_once(self, tmp_path):
        path = tmp_path / 'export.cmake'
        path.write_text(self.BEFORE, encoding='utf-8')
        assert patch_ros_wheels.patch_cmake_file(path, '/py/inc', r'/np\1/inc')
        text = path.read_text(encoding='utf-8')
        assert text == 'INTERFACE_INCLUDE_DIRECTORIES "/py/inc;/np\\1/inc"\n'
        assert not patch_ros_wheels.patch_cmake_file(path, '/py/inc', r'/np\1/inc')
        assert list(tmp_path.iterdir()) == [path]


def bash(code, **environment):
    result = subprocess.run(
        ['bash', '-euc', code],
        env={'PATH': os.environ['PATH'], 'ROS_DISTRO': 'jazzy', **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def domains_in_use():
    """Return the ROS domains whose ports are taken, this test run's own among them."""
    ports = [
        int(line.split()[1].split(':')[1], 16)
        for table in ('udp', 'udp6')
        if Path('/proc/net', table).exists()
        for line in Path('/proc/net', table).read_text().splitlines()[1:]
    ]
    return {(port - 7400) // 250 for port in ports}


class TestSessionEnvironment:
    def test_two_sessions_never_share_a_domain(self, tmp_path):
        code = f'source {SCRIPTS}/session_env.sh; take_domain; echo $ROS_DOMAIN_ID'
        # `true`, since bash would become its last command and drop the lock
        nested = f'{code}; bash -c "$1"; true'
        # All locks but those of two domains that nothing here uses are held by the outer shell.
        free = sorted(set(range(1, 101)) - domains_in_use())[-2:]
        others = ' '.join(str(domain) for domain in range(1, 101) if domain not in free)
        held = f"""
            cd {tmp_path}
            fd=20
            for domain in {others}; do
              eval "exec $fd>aitable-domain-$domain.lock"; flock -n $fd; fd=$((fd + 1))
            done
            bash -euc '{nested}' - '{code}'
        """
        domains = bash(held, TMPDIR=str(tmp_path)).split()
        assert set(domains) == set(map(str, free))

    @pytest.mark.parametrize(
        ('distro', 'expected'),
        [('humble', 'ROS_LOCALHOST_ONLY=1'), ('jazzy', 'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST')],
    )
    def test_stays_on_this_machine(self, distro, expected):
        code = f'source {SCRIPTS}/session_env.sh; stay_local; env | grep -E "LOCALHOST"'
        assert bash(code, ROS_DISTRO=distro) == expected


@pytest.mark.parametrize('script', sorted(SCRIPTS.glob('*.sh')), ids=lambda path: path.name)
def test_shell_scripts_parse(script):
    subprocess.run(['bash', '-n', str(script)], check=True)


def test_test_script_answers_help_without_setting_anything_up():
    text = bash(f'bash {SCRIPTS}/test.sh --help')
    assert '--colcon' in text
