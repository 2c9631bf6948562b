# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which backend runs each network here, from which file, and why not a better one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aitable_ros import paths
from aitable_ros.tools.isolation import run_isolated
from aitable_ros.tools.preflight_check import PROBE_TIMEOUT_S, Check, Status


def check_models(engines_dir: Path | None = None, models_file: Path | None = None) -> list[Check]:
    """
    Load every network of the catalog as a node would, and run it once.

    :param engines_dir: the folder of model files; None for the one that is used by default.
    :param models_file: the catalog; None for config/models.yaml.
    """
    from aitable_ros.model_zoo.catalog import CatalogError, load_catalog

    try:
        catalog = load_catalog(models_file)
    except CatalogError as error:
        return [Check('models', Status.ERROR, str(error), 'correct this file')]
    folder = paths.engines_dir(engines_dir)
    file = str(models_file) if models_file else None
    checks = []
    waiting = list(catalog)
    while waiting:
        outcome = run_isolated(
            probe_models, waiting, file, str(folder), 'auto', timeout_s=PROBE_TIMEOUT_S
        )
        found = {m['model']: m for m in outcome.messages if 'ok' in m}
        for name in [name for name in waiting if name in found]:
            checks.append(_judge_model(name, catalog[name].required, found[name]))
        waiting = [name for name in waiting if name not in found]
        if found and outcome.timed_out:
            continue  # the others had used up the time
        if waiting:  # the first of them took the process down
            name = waiting.pop(0)
            checks.append(
                Check(
                    f'model {name}',
                    Status.ERROR,
                    f'loading and running it {outcome.failure or "ended early"}:'
                    f' {_crashing_backends(name, catalog[name].chain, file, folder)}',
                    'name a backend that works in the parameter `backend`, and repair the other',
                    _details(name, catalog[name].required, {}),
                )
            )
    return checks


def _crashing_backends(name: str, chain: Sequence[str], file: str | None, folder: Path) -> str:
    """Try each backend alone; return what came of it."""
    results = []
    for backend in chain:
        outcome = run_isolated(
            probe_models, [name], file, str(folder), backend, timeout_s=PROBE_TIMEOUT_S
        )
        found = [m for m in outcome.messages if 'ok' in m]
        if not found:
            results.append(f'{backend} {outcome.failure or "ended early"}')
        else:
            results.append(f'{backend} works' if found[0]['ok'] else f'{backend} does not load')
    return ', '.join(results)


def _judge_model(name: str, required: bool, found: Mapping[str, Any]) -> Check:
    details = _details(name, required, found)
    if found['ok']:
        skipped = '; '.join(f'{entry["backend"]}: {entry["reason"]}' for entry in found['skipped'])
        return Check(
            f'model {name}',
            Status.WARNING if skipped else Status.OK,
            f'runs on {found["backend"]} ({found["path"]})',
            f'not on a better one: {skipped}' if skipped else '',
            details,
        )
    consequence = 'its nodes cannot work' if required else 'optional: the nodes work without it'
    return Check(
        f'model {name}',
        Status.ERROR if required else Status.WARNING,
        f'has no working backend; {consequence}',
        found['reason'].removeprefix(f'{name} has no working backend: '),
        details,
    )


def _details(name: str, required: bool, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        'model': name,
        'required': required,
        'backend': found.get('backend'),
        'file': found.get('path'),
        'skipped': found.get('skipped', []),
    }


def probe_models(
    names: Sequence[str], models_file: str | None, engines_dir: str, backend: str
) -> Iterator[dict[str, Any]]:
    """
    Load networks and run each once; yield which backend runs it, or why none does.

    :param names: of the catalog.
    :param models_file: the catalog; None for config/models.yaml.
    :param engines_dir: the folder of model files.
    :param backend: ``auto`` or the name of one.
    """
    import numpy as np

    from aitable_ros.inference.engine import DYNAMIC, InferenceError
    from aitable_ros.inference.selection import NoBackendError, load_engine
    from aitable_ros.model_zoo.catalog import load_catalog

    catalog = load_catalog(Path(models_file) if models_file else None)
    for name in names:
        try:
            selection = load_engine(catalog[name], backend, engines_dir=Path(engines_dir))
        except InferenceError as error:
            skipped = error.skipped if isinstance(error, NoBackendError) else ()
            reasons = [asdict(entry) for entry in skipped]
            yield {'model': name, 'ok': False, 'reason': str(error), 'skipped': reasons}
            continue
        with selection.engine as engine:
            shapes = {
                tensor.name: tuple(1 if size == DYNAMIC else size for size in tensor.shape)
                for tensor in engine.inputs
            }
            inputs = {t.name: np.zeros(shapes[t.name], t.dtype) for t in engine.inputs}
            try:
                outputs = engine.infer(inputs)
            except InferenceError as error:
                yield {'model': name, 'ok': False, 'reason': str(error)}
                continue
            wrong = [key for key, value in outputs.items() if not np.isfinite(value).all()]
        if wrong:
            reason = f'{selection.explain()}; on a black image it gives NaN: {", ".join(wrong)}'
            yield {'model': name, 'ok': False, 'reason': reason}
        else:
            yield {
                'model': name,
                'ok': True,
                'backend': selection.backend,
                'path': str(selection.path),
                'skipped': [asdict(skipped) for skipped in selection.skipped],
            }
