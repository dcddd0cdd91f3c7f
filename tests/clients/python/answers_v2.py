"""The Python SDK of the 2026 era, which answers what results ask for by itself. See answers.py."""

import asyncio

import httpx2
import mcp_types
from answers import answer, callbacks, given
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main():
    asked, tour = [], given()
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {tour['key']}"}, timeout=30)
    server = streamable_http_client(tour["url"], http_client=http)
    async with Client(server, mode="auto", **callbacks(mcp_types, asked)) as client:
        await answer(client, client.protocol_version, asked)


asyncio.run(main())
