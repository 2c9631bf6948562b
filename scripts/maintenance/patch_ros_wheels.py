# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Make the CMake files of the PyPI ROS 2 wheels usable in this Python environment.

The wheels export CMake targets that name two folders of the machine they were built on,
``/opt/python/cp3XX-cp3XX/include/python3.XX`` (Python's headers) and
``…/site-packages/numpy/_core/include`` (NumPy's). A package that generates interfaces against
them fails to configure elsewhere. This replaces both by the folders of the Python that runs it;
running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

PYTHON_INCLUDE = re.compile(r'/opt/python/cp3\d+-cp3\d+/include/python3\.\d+')
NUMPY_INCLUDE = re.compile(
    r'/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/(?:_core|core)/include'
)


def patch_cmake_file(path: Path, python_include: str, numpy_include: str) -> bool:
    """
    Replace the build machine's folders in one file.

    :param path: a ``*.cmake`` file.
    :param python_include: folder that holds ``Python.h``.
    :param numpy_include: folder that holds ``numpy/arrayobject.h``.
    :returns: whether the file was changed.
    """
    text = path.read_text(encoding='utf-8')
    patched = PYTHON_INCLUDE.sub(lambda _: python_include, text)
    patched = NUMPY_INCLUDE.sub(lambda _: numpy_include, patched)
    if patched == text:
        return False
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(patched, encoding='utf-8')
    temporary.replace(path)
    return True


def main() -> int:
    """Patch every CMake file below ``sys.prefix``/share and say how many were changed."""
    python_include = sysconfig.get_paths()['include']
    numpy_include = np.get_include()
    files = sorted((Path(sys.prefix) / 'share').glob('*/cmake/*.cmake'))
    changed = sum(patch_cmake_file(path, python_include, numpy_include) for path in files)
    print(f'{changed} of {len(files)} CMake files patched')
    return 0


if __name__ == '__main__':
    sys.exit(main())
