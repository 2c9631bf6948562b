#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# An aiohttp application with a middleware is never freed once it answered a request: a cache of the
# module holds its handlers and it, of the last 1024. One would guess that a server that was cleaned
# up can go, with what its handlers are methods of. Here that was a ROS node with its DDS participant.
# web/server.py does without middlewares.
#
# aiohttp 3.14.5, Python 3.11, x86-64, 2026-11-30:
#   without middleware: freed
#   with middleware: kept
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet aiohttp==3.14.5

cat >look.py <<'END'
import asyncio
import gc
import weakref

import aiohttp
from aiohttp import web


class Server:
    async def answer(self, request):
        return web.Response(text='here')


@web.middleware
async def middleware(request, handler):
    return await handler(request)


async def answer_once(middlewares):
    server = Server()
    app = web.Application(middlewares=middlewares)
    app.router.add_get('/', server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, '127.0.0.1', 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        async with session.get(f'http://127.0.0.1:{port}/') as response:
            await response.text()
    await runner.cleanup()
    return weakref.ref(server)


for name, middlewares in (('without', []), ('with', [middleware])):
    left = asyncio.run(answer_once(middlewares))
    gc.collect()
    print(f'{name} middleware:', 'freed' if left() is None else 'kept')
END
seen=$(venv/bin/python look.py)
printf '%s\n' "$seen"
[[ $seen == 'without middleware: freed
with middleware: kept' ]]
