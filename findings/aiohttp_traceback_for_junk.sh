#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# aiohttp's server, with its access log off, writes a traceback of dozens of lines at level ERROR for
# a request whose header line is malformed, and nothing for one that is no HTTP at all. One would
# guess that what any port scanner can send is answered with 400 and told in a line at most: as it
# is, who can connect fills the log. web/server.py gives it a logger that is silent.
#
# And a client that ends its sending side after a whole request, as `nc -N` does, gets no answer.
#
# aiohttp 3.14.5, Python 3.11, x86-64, 2026-11-30:
#   malformed header: 400, ERROR, traceback
#   no HTTP: 400
#   half closed: no answer
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet aiohttp==3.14.5

cat >ask.py <<'END'
import asyncio
import logging

from aiohttp import web

records = []
handler = logging.Handler()
handler.emit = records.append
logging.getLogger('aiohttp.server').addHandler(handler)
logging.getLogger('aiohttp.server').propagate = False


async def answer(request):
    await asyncio.sleep(0.1)
    return web.Response(text='here')


async def ask(port, data, half_close=False):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(data)
    if half_close:
        writer.write_eof()
    try:
        got = await asyncio.wait_for(reader.read(), 2.0)
    except asyncio.TimeoutError:
        got = b'(open)'
    writer.close()
    words = [got.split(b' ')[1].decode() if b' ' in got else 'no answer']
    for record in records:
        words += [record.levelname, 'traceback' if record.exc_info else 'line']
    records.clear()
    return ', '.join(words)


async def main():
    app = web.Application()
    app.router.add_get('/', answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, '127.0.0.1', 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    whole = b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    print('malformed header:', await ask(port, b'GET / HTTP/1.1\r\nno colon\r\n\r\n'))
    print('no HTTP:', await ask(port, b'\x16\x03\x01 hello\r\n\r\n'))
    print('half closed:', await ask(port, whole, half_close=True))
    await runner.cleanup()


asyncio.run(main())
END
seen=$(venv/bin/python ask.py)
printf '%s\n' "$seen"
[[ $seen == 'malformed header: 400, ERROR, traceback
no HTTP: 400
half closed: no answer' ]]
