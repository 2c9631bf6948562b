# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aitable_ros import paths
from aitable_ros.inference import tensorrt_runtime
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools import preflight
from aitable_ros.tools.preflight import Check, Status

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def only(checks: list[Check]) -> Check:
    (check,) = checks
    return check


def as_nobody(function: Callable[[], list[Check]]) -> list[Check]:
    """Call the function without root's rights, in a process of its own where we have them."""
    if os.geteuid() != 0:
        return function()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = json.dumps([dataclasses.asdict(check) for check in function()])
            os.write(writing, answer.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answers = json.loads(stream.read())
    os.waitpid(child, 0)
    return [Check(**{**answer, 'status': Status(answer['status'])}) for answer in answers]


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can reach."""
    changed = [p for p in (tmp_path, *tmp_path.parents) if p.stat().st_uid == os.getuid()]
    modes = {path: path.stat().st_mode for path in changed}
    for path, mode in modes.items():
        path.chmod(mode | 0o055)
    yield tmp_path
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module that is found before an installed one of its name."""
    folder = tmp_path / 'modules'
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(name: str, text: str) -> None:
        path = folder.joinpath(*name.split('.')).with_suffix('.py')
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent != folder:
            (path.parent / '__init__.py').touch()
        path.write_text(text)

    return write


@pytest.fixture(scope='module')
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a Python that has nothing but aitable's sources."""
    folder = tmp_path_factory.mktemp('venv')
    venv.create(folder, with_pip=False)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(folder / 'bin' / 'python'), *arguments],
            env={'PYTHONPATH': str(ROOT), 'HOME': str(folder), 'PATH': '/usr/bin:/bin'},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


class TestCheck:
    def test_is_frozen_and_says_something(self) -> None:
        check = Check('name', Status.OK, 'summary')
        assert check.advice == ''
        with pytest.raises(dataclasses.FrozenInstanceError):
            check.name = 'other'  # type: ignore[misc]
        for name, summary in (('', 'summary'), ('name', '')):
            with pytest.raises(ValueError, match='needs a name and a summary'):
                Check(name, Status.OK, summary)

    def test_one_that_breaks_is_a_finding_and_the_others_go_on(self) -> None:
        def broken() -> list[Check]:
            raise KeyError('of\ntwo lines')

        found = preflight.run_checks(
            {
                'first': lambda: [Check('a', Status.OK, '1'), Check('b', Status.WARNING, '2')],
                'second': broken,
                'third': lambda: [Check('c', Status.OK, '3')],
            }
        )
        assert [check.name for check in found] == ['a', 'b', 'second', 'c']
        assert found[2].status is Status.ERROR
        assert found[2].summary == r"could not be examined: KeyError: 'of\ntwo lines'"


class TestOutput:
    CHECKS = (
        Check('first', Status.OK, 'all is well'),
        Check('second one', Status.WARNING, 'word ' * 40, 'do something'),
        Check('third', Status.ERROR, 'bad'),
    )

    def test_the_table_has_what_was_found_and_what_to_do(self) -> None:
        stream = io.StringIO()
        preflight.print_table(self.CHECKS, stream)
        lines = stream.getvalue().splitlines()
        assert lines[0] == 'ok       first       all is well'
        assert lines[1].startswith('warning  second one  word word')
        assert lines[2].startswith('                     word')
        assert max(map(len, lines)) <= 100
        assert lines[-3] == '                     -> do something'
        assert lines[-1] == '3 checks: 1 ok, 1 with warnings, 1 with errors'
        assert '\x1b' not in stream.getvalue()

    @pytest.mark.parametrize(
        ('environment', 'coloured'),
        [({'TERM': 'xterm'}, True), ({'TERM': 'dumb'}, False), ({'NO_COLOR': '1'}, False)],
    )
    def test_colour_is_for_terminals(
        self, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ('TERM', 'NO_COLOR'):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        ours, terminal = pty.openpty()
        with os.fdopen(terminal, 'w') as stream, os.fdopen(ours, 'rb', buffering=0) as reader:
            preflight.print_table(self.CHECKS, stream)
            stream.flush()
            text = b''
            while b'with errors' not in text:
                text += reader.read(4096)
        assert (b'\x1b[31merror  \x1b[0m  third' in text) is coloured
        assert (b'\x1b' in text) is coloured

    def test_the_document_is_for_machines(self) -> None:
        document = preflight.as_document(self.CHECKS)
        assert document['status'] == 'error'
        assert document['checks'][0] == {
            'name': 'first',
            'status': 'ok',
            'summary': 'all is well',
            'advice': '',
        }
        assert preflight.as_document(self.CHECKS[:2])['status'] == 'warning'


class TestCommand:
    @pytest.mark.parametrize(
        ('statuses', 'expected'),
        [
            ([Status.OK], 0),
            ([Status.OK, Status.WARNING], 1),
            ([Status.ERROR, Status.WARNING, Status.OK], 2),
        ],
    )
    def test_the_exit_status_is_that_of_the_worst(
        self,
        statuses: list[Status],
        expected: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        checks = [Check('name', status, 'summary') for status in statuses]
        monkeypatch.setattr(preflight, 'checkers', lambda *_: {'name': lambda: checks})
        assert preflight.main([]) == expected
        assert capsys.readouterr().out.count('summary') == len(checks)

    def test_a_bare_python_gets_advice_instead_of_a_traceback(
        self, bare_python: Callable[..., Any]
    ) -> None:
        result = bare_python('-m', 'aitable_ros.tools.preflight', '--json')
        assert (result.returncode, result.stderr) == (2, '')
        found: dict[str, list[dict[str, str]]] = {}
        for check in json.loads(result.stdout)['checks']:
            found.setdefault(check['name'], []).append(check)
        missing = {check['summary'].split(':')[0] for check in found['packages']}
        assert missing == {'numpy', 'cv2', 'yaml'}
        assert 'pip install numpy' in found['packages'][0]['advice']
        for name in ('tensorrt', 'pycuda', 'onnxruntime', 'litert', 'pytorch', 'mediapipe'):
            assert found[name][0]['status'] == 'warning', name
            assert 'not installed' in found[name][0]['summary'], name
        assert found['ros'][0]['status'] == 'error'
        assert (
            'install ROS 2' in found['ros'][0]['advice']
            or 'source /opt/ros' in (found['ros'][0]['advice'])
        )
        assert found['models'][0]['status'] == 'error'
        assert 'numpy' in found['models'][0]['summary']

    @pytest.mark.models
    def test_this_python_is_examined_within_seconds(self, engines_dir: Path) -> None:
        result = subprocess.run(
            [sys.executable, '-m', 'aitable_ros.tools.preflight', '--json'],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,  # takes about 2 s; the machine may be busy
        )
        document = json.loads(result.stdout)
        assert result.stderr == ''
        assert result.returncode == Status[document['status'].upper()]
        names = [check['name'] for check in document['checks']]
        assert names[0] == 'python'
        assert {f'model {name}' for name in CONTRACTS} <= set(names)
        assert 'could not be examined' not in result.stdout

    def test_wrong_arguments_are_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            preflight.main(['--what'])
        assert 'usage: preflight' in capsys.readouterr().err


class TestPython:
    @pytest.mark.parametrize(
        ('version', 'status'),
        [
            ((3, 8, 10), Status.ERROR),
            ((3, 9, 99), Status.ERROR),
            ((3, 10, 0), Status.OK),
            ((3, 13, 7), Status.OK),
            ((3, 14, 0), Status.WARNING),
        ],
    )
    def test_versions(self, version: tuple[int, ...], status: Status) -> None:
        check = only(preflight.check_python(version))
        assert check.status is status
        assert sys.executable in check.summary
        assert bool(check.advice) == (status is not Status.OK)

    def test_this_one_has_what_is_needed(self) -> None:
        check = preflight.check_packages()[0]
        assert check.status is Status.OK
        assert check.summary.startswith('numpy ')

    def test_a_package_that_is_there_but_broken(self, modules: Callable[..., None]) -> None:
        modules('cv2', 'raise ImportError("libGL.so.1: cannot open shared object file")')
        found = {check.summary: check for check in preflight.check_packages()}
        broken = found.pop('cv2: ImportError: libGL.so.1: cannot open shared object file')
        assert broken.status is Status.ERROR
        assert 'opencv-python-headless' in broken.advice
        assert any(text.startswith('numpy ') for text in found)

    def test_a_package_that_crashes(self, modules: Callable[..., None]) -> None:
        modules('cv2', 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)')
        summaries = [check.summary for check in preflight.check_packages()]
        assert 'cv2: was ended by SIGSEGV' in summaries


class TestMachine:
    def test_a_jetson_is_named(self, tmp_path: Path) -> None:
        (tmp_path / 'device-tree').mkdir()
        (tmp_path / 'device-tree' / 'model').write_bytes(b'NVIDIA Jetson Orin Nano\0')
        (tmp_path / 'nv_tegra_release').write_text(
            '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n'
        )
        (tmp_path / 'meminfo').write_text(
            'MemTotal:        7802516 kB\nMemFree:  20 kB\nMemAvailable:    5000000 kB\n'
        )
        check = only(preflight.check_machine(tmp_path, tmp_path))
        assert check.status is Status.OK
        assert check.summary.startswith('NVIDIA Jetson Orin Nano, ')
        assert check.summary.endswith('Jetson Linux 36.4.3, 5.1 GB of 8.0 GB memory available')

    def test_little_memory_is_a_warning(self, tmp_path: Path) -> None:
        (tmp_path / 'meminfo').write_text('MemTotal: 7802516 kB\nMemAvailable: 300000 kB\n')
        assert only(preflight.check_machine(tmp_path, tmp_path)).status is Status.WARNING

    def test_this_machine(self) -> None:
        assert 'memory available' in only(preflight.check_machine()).summary

    def test_shared_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert 'MB free' in only(preflight.check_shared_memory(tmp_path)).summary
        absent = only(preflight.check_shared_memory(tmp_path / 'absent'))
        assert (absent.status, 'UDP' in absent.advice) == (Status.WARNING, True)
        monkeypatch.setattr(preflight, 'MIN_FREE_SHM_BYTES', 2**63)
        full = only(preflight.check_shared_memory(tmp_path))
        assert (full.status, '--shm-size' in full.advice) == (Status.WARNING, True)


class TestRos:
    def test_where_it_is_installed_but_not_sourced(
        self, bare_python: Callable[..., Any], tmp_path: Path
    ) -> None:
        (tmp_path / 'jazzy').mkdir()
        (tmp_path / 'jazzy' / 'setup.bash').touch()
        code = (
            'import sys; from pathlib import Path; from aitable_ros.tools import preflight\n'
            'def show(environment):\n'
            f'    print(preflight.check_ros(environment, Path({str(tmp_path)!r}))[0].advice)\n'
            'show({})\n'
            'show({"ROS_DISTRO": "jazzy", "ROS_VERSION": "2"})\n'
            'show({"ROS_DISTRO": "noetic", "ROS_VERSION": "1"})\n'
        )
        lines = bare_python('-c', code).stdout.splitlines()
        assert lines[0] == f'source {tmp_path}/jazzy/setup.bash'
        assert 'not for this Python' in lines[1]
        assert lines[2] == 'noetic is ROS 1; aitable needs ROS 2'

    def test_an_rclpy_that_does_not_fit(self, modules: Callable[..., None]) -> None:
        modules('rclpy.__init__', 'raise ImportError("No module named rclpy._rclpy_pybind11")')
        check = only(preflight.check_ros({'ROS_DISTRO': 'jazzy'}))
        assert check.status is Status.ERROR
        assert '_rclpy_pybind11' in check.summary

    @pytest.mark.ros
    def test_here(self) -> None:
        pytest.importorskip('rclpy')
        environment = {**os.environ, 'ROS_DISTRO': 'jazzy', 'ROS_DOMAIN_ID': '7'}
        found = {check.name: check for check in preflight.check_ros(environment)}
        assert found['ros'].status is Status.OK
        assert found['ros'].summary.startswith('ROS 2 jazzy, rclpy ')
        assert 'domain 7' in found['transport'].summary
        assert found['messages'].status in (Status.OK, Status.ERROR)

    def test_messages_that_were_not_built(self, modules: Callable[..., None]) -> None:
        pytest.importorskip('rclpy')
        modules('aitable_msgs.msg', '')
        found = {check.name: check for check in preflight.check_ros(dict(os.environ))}
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
        check = only(preflight.check_transport(environment, middleware))
        assert check.status is status
        assert told in check.summary


LIBCUDA = r"""
#include <stddef.h>
#include <string.h>
int cuInit(unsigned f) { return %(init)d; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_SOME"; return 0; }
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *name, int n, int d) { strncpy(name, "Orin", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 7 : -1; return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = c; return %(retain)d; }
int cuCtxPushCurrent_v2(void *c) { return 0; }
int cuMemGetInfo_v2(size_t *f, size_t *t) { *f = %(free)d; *t = 8000000000UL; return 0; }
"""


class TestGpu:
    def test_tensorrt_is_looked_for_where_the_engine_does(self) -> None:
        assert preflight._TENSORRT_MODULES == tensorrt_runtime.MODULES

    @pytest.fixture
    def driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Compiles a library that answers as NVIDIA's driver would, and puts it in its place."""
        compiler = shutil.which('cc') or shutil.which('gcc')
        if compiler is None:
            pytest.skip('needs a C compiler')

        def make(init: int = 0, retain: int = 0, free: int = 2_000_000_000) -> None:
            source = tmp_path / 'libcuda.c'
            source.write_text(LIBCUDA % {'init': init, 'retain': retain, 'free': free})
            library = tmp_path / 'libcuda.so.1'
            command = [compiler, '-shared', '-fPIC', '-w', '-o', str(library), str(source)]
            subprocess.run(command, check=True)
            monkeypatch.setenv('LD_LIBRARY_PATH', str(tmp_path))

        return make

    def test_a_device(self, driver: Callable[..., None]) -> None:
        driver()
        check = only(preflight.check_cuda())
        assert check.status is Status.OK
        assert check.summary == (
            'device 0: Orin, compute capability 8.7, 2.0 GB of 8.0 GB free; driver for CUDA 12.6'
        )

    def test_little_memory_is_a_warning(self, driver: Callable[..., None]) -> None:
        driver(free=100_000_000)
        assert only(preflight.check_cuda()).status is Status.WARNING

    def test_a_driver_without_a_device(self, driver: Callable[..., None]) -> None:
        driver(init=100)
        check = only(preflight.check_cuda())
        assert check.status is Status.WARNING
        assert check.summary == 'the NVIDIA driver sees no device'

    @pytest.mark.parametrize(
        ('codes', 'told'),
        [({'init': 999}, 'cuInit'), ({'retain': 2}, 'cuDevicePrimaryCtxRetain')],
    )
    def test_a_driver_that_fails(
        self, codes: dict[str, int], told: str, driver: Callable[..., None]
    ) -> None:
        driver(**codes)
        check = only(preflight.check_cuda())
        assert check.status is Status.ERROR
        assert f'{told}: CUDA_ERROR_SOME' in check.summary

    def test_no_driver(self) -> None:
        (message,) = preflight.probe_cuda('libcuda_that_is_not_there.so.1')
        assert message['absent'].startswith('no NVIDIA driver')

    def test_a_tensorrt_whose_libraries_are_missing(self, modules: Callable[..., None]) -> None:
        for name in ('tensorrt', 'tensorrt_lean', 'tensorrt_lean_bindings'):
            modules(name, 'raise ImportError("libnvinfer.so.8: cannot open shared object file")')
        check = only(preflight.check_tensorrt())
        assert check.status is Status.ERROR
        assert 'libnvinfer.so.8' in check.summary

    @pytest.mark.parametrize(
        ('reason', 'status'),
        [
            ('libcuda.so.1: cannot open shared object file', Status.WARNING),
            ('libcudart.so.12: cannot open shared object file', Status.ERROR),
        ],
    )
    def test_a_pycuda_that_cannot_be_imported(
        self, reason: str, status: Status, modules: Callable[..., None]
    ) -> None:
        modules('pycuda.driver', f'raise ImportError({reason!r})')
        check = only(preflight.check_pycuda())
        assert check.status is status
        assert reason in check.summary


class TestRuntimes:
    def test_onnxruntime_tells_its_providers(self) -> None:
        pytest.importorskip('onnxruntime')
        check = only(preflight.check_onnxruntime())
        assert check.status is Status.OK
        assert 'CPU' in check.summary.partition('providers: ')[2]

    def test_litert(self) -> None:
        pytest.importorskip('ai_edge_litert')
        assert only(preflight.check_litert()).status is Status.OK

    def test_one_that_crashes_when_imported(self, modules: Callable[..., None]) -> None:
        modules('onnxruntime', 'import os; os.abort()')
        check = only(preflight.check_onnxruntime())
        assert check.status is Status.ERROR
        assert check.summary.startswith('cannot be imported: was ended by SIGABRT')

    def test_optional_packages_are_not_imported(self, modules: Callable[..., None]) -> None:
        modules('torch', 'import os; os.abort()')
        check = only(preflight.check_optional('pytorch', 'torch', 'something'))
        assert check.status is Status.OK
        missing = only(preflight.check_optional('other', 'no_such_module', 'something'))
        assert missing.status is Status.WARNING
        assert missing.advice == 'only something needs it'


@pytest.mark.models
class TestModels:
    @pytest.fixture
    def folder(self, engines_dir: Path, tmp_path: Path) -> Path:
        folder = tmp_path / 'engines'
        folder.mkdir()
        for path in engines_dir.glob('face_mesh.*'):
            if path.suffix != '.engine':
                shutil.copyfile(path, folder / path.name)
        return folder

    @pytest.fixture
    def catalog_file(self, tmp_path: Path) -> Callable[..., Path]:
        def write(required: bool = True) -> Path:
            path = tmp_path / 'models.yaml'
            path.write_text(
                'models:\n  face_mesh:\n    primary: litert\n    fallbacks: [onnxruntime]\n'
                f'    required: {str(required).lower()}\n'
            )
            return path

        return write

    def test_one_that_runs_on_its_primary_backend(
        self, folder: Path, catalog_file: Callable[..., Path]
    ) -> None:
        check = only(preflight.check_models(folder, catalog_file()))
        assert check == Check(
            'model face_mesh', Status.OK, f'runs on litert ({folder}/face_mesh.tflite)'
        )

    def test_one_that_falls_back_says_why(
        self, folder: Path, catalog_file: Callable[..., Path]
    ) -> None:
        (folder / 'face_mesh.tflite').write_bytes(b'damaged')
        check = only(preflight.check_models(folder, catalog_file()))
        assert check.status is Status.WARNING
        assert check.summary == f'runs on onnxruntime ({folder}/face_mesh.onnx)'
        assert check.advice.startswith('not on a better one: litert: ')
        assert 'fetch_models face_mesh' in check.advice

    @pytest.mark.parametrize('required', [True, False])
    def test_one_without_files(
        self, required: bool, tmp_path: Path, catalog_file: Callable[..., Path]
    ) -> None:
        check = only(preflight.check_models(tmp_path / 'none', catalog_file(required)))
        assert check.status is (Status.ERROR if required else Status.WARNING)
        assert check.advice.count('face_mesh.') == 2
        assert check.advice.count('fetch_models face_mesh') == 2

    def test_one_that_crashes_is_told_apart(
        self, folder: Path, catalog_file: Callable[..., Path], modules: Callable[..., None]
    ) -> None:
        modules('ai_edge_litert.interpreter', 'import os; os.abort()')
        check = only(preflight.check_models(folder, catalog_file()))
        assert check.status is Status.ERROR
        assert check.summary == (
            'loading and running it was ended by SIGABRT:'
            ' litert was ended by SIGABRT, onnxruntime works'
        )

    def test_after_a_crash_the_other_models_are_examined(
        self, engines_dir: Path, modules: Callable[..., None], tmp_path: Path
    ) -> None:
        modules('onnxruntime', 'import os; os.abort()')
        path = tmp_path / 'models.yaml'
        path.write_text(
            'models:\n  face_mesh: {primary: litert}\n  face_detection: {primary: onnxruntime}\n'
            '  iris_landmark: {primary: litert}\n'
        )
        checks = preflight.check_models(engines_dir, path)
        assert {check.name: check.status for check in checks} == {
            'model face_mesh': Status.OK,
            'model face_detection': Status.ERROR,
            'model iris_landmark': Status.OK,
        }

    def test_a_wrong_catalog(self, tmp_path: Path) -> None:
        path = tmp_path / 'models.yaml'
        path.write_text('models: {face_mesh: {primary: abacus}}')
        check = only(preflight.check_models(tmp_path, path))
        assert check.status is Status.ERROR
        assert 'abacus' in check.summary


class TestFolders:
    def test_one_that_can_be_written(self, tmp_path: Path) -> None:
        check = only(preflight.check_folder('f', tmp_path, 'VARIABLE'))
        assert check.status is Status.OK
        assert 'writable' in check.summary
        assert list(tmp_path.iterdir()) == []

    def test_one_that_is_not_made_yet_is_not_made(self, tmp_path: Path) -> None:
        check = only(preflight.check_folder('f', tmp_path / 'a' / 'b', 'VARIABLE'))
        assert check.status is Status.OK
        assert 'not made yet' in check.summary
        assert list(tmp_path.iterdir()) == []

    def test_one_that_may_not_be_written(self, open_path: Path) -> None:
        folder = open_path / 'folder'
        folder.mkdir(mode=0o555)
        check = only(as_nobody(lambda: preflight.check_folder('f', folder, 'VARIABLE')))
        assert check.status is Status.WARNING
        assert os.strerror(errno.EACCES) in check.summary
        assert 'VARIABLE=' in check.advice

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / 'file').touch()
        check = only(preflight.check_folder('f', tmp_path / 'file' / 'sub', 'VARIABLE'))
        assert check.status is Status.ERROR

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(preflight, 'MIN_FREE_DISK_BYTES', 2**63)
        check = only(preflight.check_folder('f', tmp_path, 'VARIABLE'))
        assert check.status is Status.WARNING
        assert 'only' in check.summary

    def test_the_environment_names_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(paths.ENGINES_DIR_VARIABLE, str(tmp_path / 'e'))
        monkeypatch.setenv(paths.CACHE_DIR_VARIABLE, str(tmp_path / 'c'))
        checks = preflight.checkers()
        assert only(list(checks['engines folder']())).summary.startswith(f'{tmp_path}/e ')
        assert only(list(checks['cache folder']())).summary.startswith(f'{tmp_path}/c ')


class TestCameras:
    def test_none(self, tmp_path: Path) -> None:
        (tmp_path / 'video0').touch()  # no device
        (tmp_path / 'videos').touch()
        check = only(preflight.check_cameras(tmp_path))
        assert check.status is Status.WARNING
        assert check.summary == f'none ({tmp_path}/video*)'

    def test_no_permission(self, open_path: Path) -> None:
        (open_path / 'video0').touch()
        (open_path / 'video0').chmod(0)
        check = only(as_nobody(lambda: preflight.check_cameras(open_path)))
        assert check.status is Status.WARNING
        assert check.summary == f'{open_path}/video0: no permission'
        assert 'usermod -aG video' in check.advice

    def test_what_captures_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A USB camera has two devices, one for metadata; an old driver has no device_caps."""
        capture, metadata, streaming, has_caps = 0x1, 0x00800000, 0x04000000, 0x80000000
        answers = {
            'video2': (capture | metadata | streaming | has_caps, capture | streaming),
            'video3': (capture | metadata | streaming | has_caps, metadata | streaming),
            'video10': (capture | streaming, 0),
        }
        for name in answers:
            (tmp_path / name).touch()

        def ioctl(descriptor: int, request: int, buffer: bytes) -> bytes:
            assert (request, len(buffer)) == (0x80685600, 104)
            name = Path(f'/proc/self/fd/{descriptor}').readlink().name
            texts = (b'uvcvideo', b'HD Webcam', b'usb-1')
            return preflight._CAPABILITY.pack(*texts, 0x60000, *answers[name], 0, 0, 0)

        monkeypatch.setattr(preflight.fcntl, 'ioctl', ioctl)
        check = only(preflight.check_cameras(tmp_path))
        assert check.status is Status.OK
        assert check.summary == f'{tmp_path}/video2 (HD Webcam), {tmp_path}/video10 (HD Webcam)'
