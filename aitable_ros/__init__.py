# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Face, emotion, fatigue and posture of the person at a smart table, as ROS 2 nodes."""

__version__ = '0.1.0'
