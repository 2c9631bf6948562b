# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""process_bag for many recordings: on all cores of this machine, or on Dask workers elsewhere."""
