# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which backend runs each network here, from which file, and why not a better one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from aitable_ros import paths
from aitable_ros.inference.engine import DYNAMIC, InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import (
    AUTO,
    NoBackendError,
    Skipped,
    list_skipped,
    load_engine,
)
from aitable_ros.model_zoo.catalog import CatalogError, load_catalog
from aitable_ros.tools.preflight.check import PROBE_TIMEOUT_S, Check, Status
from aitable_ros.tools.support.isolation import Outcome, run_isolated


def check_models(engines_dir: Path | None = None, models_file: Path | None = None) -> list[Check]:
    """
    Load every network of the catalog as a node would, and run it once.

    :param engines_dir: the folder of model files; None for the one that is used by default.
    :param models_file: the catalog; None for config/models.yaml.
    """
    try:
        catalog = load_catalog(models_file)
    except CatalogError as error:
        return [Check('models', Status.ERROR, str(error), 'correct this file')]
    folder = paths.engines_dir(engines_dir)
    file = str(models_file) if models_file else None
    return [_check_model(spec, file, folder) for spec in catalog.values()]


def _check_model(spec: ModelSpec, file: str | None, folder: Path) -> Check:
    def outcome_on(backend: str) -> Outcome:
        arguments = spec.name, file, str(folder), backend
        return run_isolated(probe_model, *arguments, timeout_s=PROBE_TIMEOUT_S)

    outcome = outcome_on(AUTO)
    found: dict[str, Any] = outcome.messages[0] if outcome.messages else {}
    status = Status.ERROR if spec.required else Status.WARNING
    if not found:
        results = []  # it took the process down: which backend does?
        for backend in spec.chain:
            alone = outcome_on(backend)
            result = alone.failure or 'ended early'
            if alone.messages:
                result = 'works' if alone.messages[0]['ok'] else 'does not load'
            results.append(f'{backend} {result}')
        ended = outcome.failure or 'ended early'
        status, summary = Status.ERROR, f'loading and running it {ended}: {", ".join(results)}'
        advice = 'name a backend that works in the parameter `backend`, and repair the other'
    elif found['ok']:
        skipped = list_skipped(Skipped(**entry) for entry in found['skipped'])
        status = Status.WARNING if skipped else Status.OK
        advice = f'not on a better one: {skipped}' if skipped else ''
        summary = f'runs on {found["backend"]} ({found["path"]})'
    else:
        means = 'its nodes cannot work' if spec.required else 'optional: the nodes work without it'
        summary = f'has no working backend; {means}'
        advice = found['reason'].removeprefix(f'{spec.name} has no working backend: ')
    details = {
        'model': spec.name,
        'required': spec.required,
        'backend': found.get('backend'),
        'file': found.get('path'),
        'skipped': found.get('skipped', []),
    }
    return Check(f'model {spec.name}', status, summary, advice, details)


def probe_model(
    name: str, models_file: str | None, engines_dir: str, backend: str
) -> Iterator[dict[str, Any]]:
    """
    Load a network and run it once; yield which backend runs it, or why none does.

    :param name: of the catalog; it and the others are as for :func:`check_models`.
    :param backend: ``auto`` or the name of one.
    """
    catalog = load_catalog(Path(models_file) if models_file else None)
    try:
        selection = load_engine(catalog[name], backend, engines_dir=Path(engines_dir))
    except InferenceError as error:
        skipped = error.skipped if isinstance(error, NoBackendError) else ()
        reasons = [asdict(entry) for entry in skipped]
        yield {'ok': False, 'reason': str(error), 'skipped': reasons}
        return
    with selection.engine as engine:
        inputs = {
            t.name: np.zeros([1 if size == DYNAMIC else size for size in t.shape], t.dtype)
            for t in engine.inputs
        }
        try:
            outputs = engine.infer(inputs)
        except InferenceError as error:
            yield {'ok': False, 'reason': str(error)}
            return
    wrong = [key for key, value in outputs.items() if not np.isfinite(value).all()]
    if wrong:
        reason = f'{selection.explain()}; on a black image it gives NaN: {", ".join(wrong)}'
        yield {'ok': False, 'reason': reason}
        return
    passed_over = [asdict(entry) for entry in selection.skipped]
    path = str(selection.path)
    yield {'ok': True, 'backend': selection.backend, 'path': path, 'skipped': passed_over}
