# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""``python3 -m aitable_ros.tools.build_engines``."""

import sys

from aitable_ros.tools.build_engines.command import main

sys.exit(main())
