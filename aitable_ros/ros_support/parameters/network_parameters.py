# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of nodes that run networks on images."""

from __future__ import annotations

from aitable_ros.inference.selection import AUTO, BACKENDS
from aitable_ros.ros_support.parameters.table import FOLDERS, ParameterSpec

IMAGE_PARAMETERS = (
    ParameterSpec(
        'image_transport',
        'raw',
        'raw: Image on image_raw; compressed: CompressedImage on image_raw/compressed',
        choices=('raw', 'compressed'),
        basic=True,
    ),
)

FOLDERS_PARAMETER = ParameterSpec(
    FOLDERS,
    [''],
    'folders whose files other processes may name in parameters, beside the folders of what the '
    'node was started with',
    read_only=True,
)

PUBLISH_IMAGES = ParameterSpec(
    'publish_images',
    True,
    'have topics of images at all; what listens in the same process gets those of image_source '
    'without',
    read_only=True,
)


BACKEND_PARAMETERS = (
    ParameterSpec(
        'engines_dir',
        '',
        'folder with the model files; empty: environment variable AITABLE_ENGINES_DIR, else the '
        "package's engines folder",
        no_file='',
        basic=True,
    ),
    ParameterSpec(
        'models_file',
        '',
        "catalog of networks and their backends; empty: the package's config/models.yaml",
        no_file='',
    ),
    FOLDERS_PARAMETER,
    ParameterSpec(
        'threads',
        1,
        'CPU threads for a network that runs on the CPU; more than one rarely pays',
        (1, 64),
        basic=True,
    ),
)


def backend_parameter(networks: str, *further: str) -> ParameterSpec:
    """
    Make the ``backend`` parameter of a node.

    :param networks: what it is for, in words.
    :param further: backends that only this node knows.
    """
    return ParameterSpec(
        'backend',
        AUTO,
        f'what runs {networks}; auto takes the first of the catalog chain that loads',
        choices=(AUTO, *BACKENDS, *further),
        basic=True,
    )
