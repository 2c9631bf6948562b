# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""``python3 -m aitable_ros.tools.report``."""

import sys

from aitable_ros.tools.report.command import main

sys.exit(main())
