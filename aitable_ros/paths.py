# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Where aitable's files live: configuration, model files, the cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = 'aitable_ros'
ENGINES_DIR_VARIABLE = 'AITABLE_ENGINES_DIR'
CACHE_DIR_VARIABLE = 'AITABLE_CACHE_DIR'

_MODEL_SUFFIXES = ('.tflite', '.onnx', '.engine')


def share_dir() -> Path:
    """
    Return the folder that holds ``config/``, ``launch/`` and ``engines/``.

    It is the source checkout when the package runs from one (directly, from a develop
    install, or from ``colcon build --symlink-install``); else ``share/aitable_ros`` in the
    first prefix of AMENT_PREFIX_PATH that has it, in the prefix that this package is
    installed in, or in ``sys.prefix``.

    :raises FileNotFoundError: when there is none; the message lists the places tried.
    """
    # resolve(), since a symlink install points at the checkout file by file or as a folder
    package_dir = Path(__file__).resolve().parent
    checkout = package_dir.parent
    if (checkout / 'package.xml').is_file():
        return checkout
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    prefixes += list(package_dir.parents)[1:5]  # site-packages is at most 4 below its prefix
    prefixes.append(Path(sys.prefix))
    candidates = [prefix / 'share' / PACKAGE for prefix in prefixes]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f'the files of {PACKAGE} (config, launch) are not installed: no package.xml in'
        f' {checkout}, and none of these exists: {", ".join(map(str, candidates))}'
    )


def engines_dir(override: str | Path | None = None) -> Path:
    """
    Return the folder of model files; it need not exist yet.

    :param override: this folder, where given and not empty (``~`` is expanded); else the
        environment variable AITABLE_ENGINES_DIR; else ``engines`` in :func:`share_dir` if it
        holds model files or can be written; else ``engines`` in :func:`cache_dir`'s default
        place.
    """
    chosen = override or os.environ.get(ENGINES_DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    try:
        shared = share_dir() / 'engines'
    except FileNotFoundError:
        return _xdg_cache() / 'engines'
    if _holds_models(shared) or _is_writable(shared):
        return shared
    return _xdg_cache() / 'engines'


def cache_dir() -> Path:
    """
    Return the folder for downloads and generated samples; it need not exist yet.

    It is the environment variable AITABLE_CACHE_DIR, else ``$XDG_CACHE_HOME/aitable``, else
    ``~/.cache/aitable``. Everything in it can be deleted at any time.
    """
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else _xdg_cache()


def _xdg_cache() -> Path:
    base = os.environ.get('XDG_CACHE_HOME', '')
    # the XDG base directory specification: relative paths are to be ignored
    if Path(base).is_absolute():
        return Path(base) / 'aitable'
    try:
        return Path.home() / '.cache' / 'aitable'
    except RuntimeError:  # there is none: what is written here says how to choose another folder
        return Path('/nonexistent/.cache/aitable')


def _holds_models(folder: Path) -> bool:
    try:
        return any(entry.suffix in _MODEL_SUFFIXES for entry in folder.iterdir())
    except OSError:
        return False


def _is_writable(folder: Path) -> bool:
    existing = folder if folder.exists() else folder.parent
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
