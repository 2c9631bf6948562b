# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a network means: pre- and post-processing of images. No ROS."""
