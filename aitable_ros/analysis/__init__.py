# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""State over time from landmarks and boxes. No images, no ROS."""
