"""The Python SDK of the 2025 era. See answers.py."""

import asyncio

from answers import answer, callbacks, given
from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client


async def main():
    asked, tour = [], given()
    headers = {"Authorization": f"Bearer {tour['key']}"}
    async with streamablehttp_client(tour["url"], headers=headers) as (read, write, _):
        async with ClientSession(read, write, **callbacks(types, asked)) as session:
            opened = await session.initialize()
            await answer(session, opened.protocolVersion, asked)


asyncio.run(main())
