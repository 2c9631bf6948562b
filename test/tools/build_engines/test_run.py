# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Builds run in processes of their own, here without TensorRT."""

from __future__ import annotations

import _thread
import fcntl
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import builder_children
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.runtime import load_tensorrt
from aitable_ros.tools.build_engines import command, run

pytestmark = pytest.mark.models
MEDIAPIPE = (
    *('face_detection', 'face_detection_full', 'face_detection_back'),
    *('face_mesh', 'face_attention', 'fer'),
    *('pose_detection', 'pose_landmark'),
)


def _main(folder, *arguments):
    return command.main([*arguments, '--engines-dir', str(folder)])


def _child(monkeypatch, name):
    monkeypatch.setattr(run, '_work', getattr(builder_children, name))


def test_all_models_that_are_there_one_after_the_other(folder, monkeypatch, capsys):
    _child(monkeypatch, 'succeed')
    assert _main(folder) == 0
    out, err = capsys.readouterr()
    built = [f'{name}: {folder}/{name}.engine built in 1 s' for name in MEDIAPIPE]
    assert out.splitlines() == built
    assert 'face_mesh: building\n' in err


def test_one_that_fails_does_not_stop_the_others(folder, monkeypatch, capsys):
    _child(monkeypatch, 'fail_for_face_mesh')
    assert _main(folder, 'face_mesh', 'face_attention') == 1
    out, err = capsys.readouterr()
    assert 'build_engines: error: face_mesh: not enough memory\n' in err
    assert out == f'face_attention: {folder}/face_attention.engine built in 1 s\n'


@pytest.mark.parametrize(
    ('end', 'told'),
    [
        ('killed', 'the build was killed, as Linux does when memory runs out'),
        ('crashed', 'TensorRT crashed (SIGSEGV)'),
        ('gone', 'ended with status 3 without a result'),
    ],
)
def test_a_process_that_dies_is_one_line_and_leaves_nothing(
    folder, monkeypatch, capsys, end, told
):
    _child(monkeypatch, end)
    assert _main(folder, 'face_mesh') == 1
    (error,) = (line for line in capsys.readouterr().err.splitlines() if 'error' in line)
    assert told in error
    assert not list(folder.glob('.*.tmp'))
    assert not (folder / 'face_mesh.engine').exists()


def test_ctrl_c_ends_it_at_once_and_leaves_nothing(folder, monkeypatch, capsys):
    _child(monkeypatch, 'endless')

    def interrupt():
        while not (folder / 'started').exists():
            time.sleep(0.02)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    start = time.monotonic()
    assert _main(folder, 'face_mesh') == run.INTERRUPTED
    thread.join()
    assert time.monotonic() - start < 30
    assert 'interrupted; engines that were there are as before' in capsys.readouterr().err
    assert not list(folder.glob('.*.tmp'))


@pytest.mark.parametrize('end', [signal.SIGTERM, signal.SIGKILL])
def test_when_it_is_ended_the_build_ends_with_it(folder, end):
    tests = Path(__file__).parents[2]
    code = (
        f'import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n'
        'import builder_children\nfrom aitable_ros.tools.build_engines import command, run\n'
        'run._work = builder_children.endless\n'
        f'command.main(["face_mesh", "--engines-dir", {str(folder)!r}])'
    )
    process = subprocess.Popen([sys.executable, '-c', code], stderr=subprocess.PIPE)
    while not (folder / 'started').exists():
        assert process.poll() is None
        time.sleep(0.02)
    (half,) = folder.glob('.face_mesh.engine.*.tmp')
    child = int(half.name.split('.')[-2])
    assert Path(f'/proc/{child}').exists()
    process.send_signal(end)
    process.communicate(timeout=30)  # ends when nobody holds the pipe any more
    assert process.returncode == -end


def test_it_waits_for_another_build_into_the_folder(folder, monkeypatch, capsys):
    _child(monkeypatch, 'succeed')
    with (folder / run._LOCK_NAME).open('ab') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        release = threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        release.start()
        start = time.monotonic()
        assert _main(folder, 'face_mesh') == 0
        assert time.monotonic() - start >= 0.3
    assert 'waiting for another build to end' in capsys.readouterr().err


def test_without_tensorrt_or_gpu_that_is_the_reason(folder, capsys):
    try:
        load_tensorrt()
    except InferenceError as error:
        reason = str(error)
    else:
        pytest.skip('TensorRT is installed')
    assert _main(folder, 'face_mesh') == 1
    assert f'build_engines: error: face_mesh: {reason}' in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_line(folder, capsys):
    source = folder / 'face_mesh.onnx'
    assert _main(source / 'engines', 'own', '--onnx', str(source)) == 1
    assert 'cannot be written: Not a directory' in capsys.readouterr().err
