# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""``python3 -m aitable_ros.tools.process_bag``."""

import sys

from aitable_ros.tools.process_bag.command import main

sys.exit(main())
