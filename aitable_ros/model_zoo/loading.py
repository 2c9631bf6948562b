# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Loading networks as parameters say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import Load, Selection, close_all, load_engine
from aitable_ros.model_zoo.catalog import CatalogError, load_catalog
from aitable_ros.model_zoo.store import SOURCES, fetch_if_possible, inspect_model
from aitable_ros.paths import engines_dir


class Logger(Protocol):
    """What tells of downloads: a node's logger, or one of the standard library."""

    def info(self, message: str, /) -> Any:
        """Tell what is done."""

    def warning(self, message: str, /) -> Any:
        """Tell what went wrong."""


def loader(parameters: Mapping[str, Any], logger: Logger) -> Load:
    """Return :func:`load_models` for these parameters, as the observers want it."""
    return lambda names: load_models(names, parameters, logger)


def load_models(
    names: Sequence[str], parameters: Mapping[str, Any], logger: Logger
) -> tuple[Selection, ...]:
    """
    Load networks; call it in the thread that will use them.

    Files that are missing are fetched first (Apache-2.0 models only; the others are the
    user's to bring). Where that fails, what is there may do: an engine, or another fallback.

    :param names: names of the catalog.
    :param parameters: ``backend``, ``engines_dir``, ``models_file``, ``threads``, as a node's.
    :param logger: told about downloads.
    :returns: one selection per name, all loaded.
    :raises InferenceError: when one cannot be loaded, or the catalog has no such model; those
        that were loaded are closed again.
    :raises CatalogError: when the catalog cannot be read or is wrong.
    """
    catalog = load_catalog(Path(parameters['models_file']) if parameters['models_file'] else None)
    try:
        specs = [catalog[name] for name in names]
    except CatalogError as error:
        raise InferenceError(str(error)) from error
    folder = engines_dir(parameters['engines_dir'] or None)
    failed = fetch_if_possible(names, folder, progress=logger.info)
    if failed:
        logger.warning(failed)
    damaged = _damaged(names, folder)
    selections: list[Selection] = []
    try:
        for spec in specs:
            selections.append(
                load_engine(
                    spec,
                    parameters['backend'],
                    engines_dir=folder,
                    threads=parameters['threads'],
                    damaged=damaged,
                )
            )
    except BaseException as error:
        close_all(selections)
        if failed and isinstance(error, InferenceError):
            raise InferenceError(f'{error}; {failed}') from error
        raise
    return tuple(selections)


def _damaged(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Tell which of the package's own files are not what they have to be, record or not."""
    states = [inspect_model(name, folder) for name in names if name in SOURCES]
    return {f'{s.name}.tflite': s.tflite for s in states if s.tflite.startswith('is damaged')}
