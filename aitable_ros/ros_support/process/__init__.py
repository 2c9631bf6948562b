# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How a process spins, and what it sets for the transport."""
