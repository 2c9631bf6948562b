# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a build's process may do; each stands in for ``build_engines._work`` in a real process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def succeed(messages, request, verbose):
    messages.send(('line', 'building'))
    request.engine_path.write_bytes(b'plan')
    messages.send(('done', f'{request.engine_path} built in 1 s'))


def fail_for_face_mesh(messages, request, verbose):
    if request.name == 'face_mesh':
        messages.send(('failed', 'not enough memory'))
    else:
        succeed(messages, request, verbose)


def _begin(request):
    request.engines_dir.joinpath(f'.{request.name}.engine.{os.getpid()}.tmp').write_bytes(b'half')


def killed(messages, request, verbose):
    _begin(request)
    os.kill(os.getpid(), signal.SIGKILL)


def crashed(messages, request, verbose):
    _begin(request)
    os.kill(os.getpid(), signal.SIGSEGV)


def gone(messages, request, verbose):
    _begin(request)
    os._exit(3)


def endless(messages, request, verbose):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _begin(request)
    Path(request.engines_dir, 'started').touch()
    time.sleep(600)
