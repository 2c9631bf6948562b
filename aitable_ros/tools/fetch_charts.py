# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Bring uPlot, with which the web page draws its curves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aitable_ros.web.charts import PACKAGE, ChartsError, fetch_charts


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0 when uPlot is there and whole, else 1.
    """
    parser = argparse.ArgumentParser(
        prog='fetch_charts',
        description=f'Bring {PACKAGE} (MIT licence) by npm into the cache, checked by its sha256.'
        ' The page of web_monitor draws curves with it, and shows numbers without.',
    )
    parser.add_argument(
        '--from',
        dest='package',
        metavar='FILE',
        type=Path,
        help=f'the package, as `npm pack {PACKAGE}` saved it on another machine',
    )
    try:
        print(f'{PACKAGE} is in {fetch_charts(parser.parse_args(argv).package)}')
    except ChartsError as error:
        print(f'fetch_charts: error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
