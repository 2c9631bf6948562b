# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of web_monitor."""

from __future__ import annotations

from aitable_ros.ros_support.display.scene_input import DRAWING_PARAMETERS, privacy_parameter
from aitable_ros.ros_support.parameters.network_parameters import (
    FOLDERS_PARAMETER,
    IMAGE_PARAMETERS,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.visualization.overlay.privacy_modes import MESH

TABLE, FLEET = 'table', 'fleet'

PARAMETERS = (
    *IMAGE_PARAMETERS,
    FOLDERS_PARAMETER,
    *DRAWING_PARAMETERS,
    privacy_parameter(MESH),
    ParameterSpec(
        'page',
        TABLE,
        'which page is served: of the table in whose namespace the node is, or of all tables '
        '(fleet): levels, alerts and diagnostics, no pictures',
        choices=(TABLE, FLEET),
    ),
    ParameterSpec(
        'host',
        '127.0.0.1',
        'address to serve the page on; 0.0.0.0: the whole network, which needs the token',
    ),
    ParameterSpec('port', 8080, 'TCP port of the page; 0: any that is free', (0, 65535)),
    ParameterSpec(
        'control',
        False,
        'let the page calibrate, reload, and change privacy and overlay; else one can look only',
    ),
    ParameterSpec(
        'token',
        'network',
        'who has to bring the token: who comes over the network or through a proxy that says so, '
        'or everybody',
        choices=('network', 'always'),
    ),
    ParameterSpec(
        'token_file',
        '',
        'where the token is kept; made at the first start; empty: aitable/web_token in $ROS_HOME '
        'or ~/.ros',
        no_file='',
    ),
    ParameterSpec(
        'allowed_hosts',
        '',
        'names under which the page may be opened, with commas between them, beside localhost, '
        "this machine's name and addresses",
    ),
    ParameterSpec(
        'tls_certificate',
        '',
        'PEM file of the certificate and its chain; empty: HTTP',
        no_file='',
    ),
    ParameterSpec('tls_key', '', "PEM file of the certificate's key", no_file=''),
    ParameterSpec('max_clients', 32, 'so many pages may be open', (1, 256)),
    ParameterSpec(
        'max_rate', 10.0, 'pictures and readings a second [Hz]', (0.5, 60.0), dynamic=True
    ),
    ParameterSpec(
        'max_width', 960, 'wider pictures are made smaller [pixels]', (160, 8192), dynamic=True
    ),
    ParameterSpec('jpeg_quality', 75, 'quality of the pictures', (1, 100), dynamic=True),
    ParameterSpec(
        'history',
        600.0,
        'readings are kept in memory for so long, for curves and CSV [s]',
        (0.0, 3600.0),
    ),
)
