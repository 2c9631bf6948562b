# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Images as they come in: hub, buffer, conversion, QoS."""
