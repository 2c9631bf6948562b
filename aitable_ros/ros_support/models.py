# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Loading networks as a node's parameters say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from aitable_ros.inference.selection import Selection, load_engine
from aitable_ros.model_zoo.catalog import load_catalog
from aitable_ros.model_zoo.store import SOURCES, ensure_models
from aitable_ros.paths import engines_dir


def load_models(
    names: Sequence[str], parameters: Mapping[str, Any], logger: RcutilsLogger
) -> tuple[Selection, ...]:
    """
    Load networks; call it in the thread that will use them.

    Files that are missing are fetched first (Apache-2.0 models only; the others are the
    user's to bring).

    :param names: names of the catalog.
    :param parameters: the node's ``backend``, ``engines_dir``, ``models_file``, ``threads``.
    :param logger: told about downloads.
    :returns: one selection per name, all loaded.
    :raises InferenceError: when one cannot be loaded; those that were are closed again.
    """
    catalog = load_catalog(Path(parameters['models_file']) if parameters['models_file'] else None)
    folder = engines_dir(parameters['engines_dir'] or None)
    ensure_models([name for name in names if name in SOURCES], folder, progress=logger.info)
    selections: list[Selection] = []
    try:
        for name in names:
            selections.append(
                load_engine(
                    catalog[name],
                    parameters['backend'],
                    engines_dir=folder,
                    threads=parameters['threads'],
                )
            )
    except BaseException:
        close_models(selections)
        raise
    return tuple(selections)


@contextmanager
def loading_models(
    names: Sequence[str], parameters: Mapping[str, Any], logger: RcutilsLogger
) -> Iterator[tuple[Selection, ...]]:
    """
    Load networks as :func:`load_models` does, and close them again when the block raises.

    For what is built from them, and may not be possible.
    """
    selections = load_models(names, parameters, logger)
    try:
        yield selections
    except BaseException:
        close_models(selections)
        raise


def close_models(selections: Iterable[Selection]) -> None:
    """Close the engines, in the thread that loaded them."""
    for selection in selections:
        selection.engine.close()
