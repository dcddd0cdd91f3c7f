"""The Python SDK of the 2025 era, which comes back by itself to a stream that broke: connects, calls one tool, and prints the
result. The one argument is a JSON object: { url, key, name, arguments }."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main():
    given = json.loads(sys.argv[1])
    headers = {"Authorization": f"Bearer {given['key']}"}
    async with streamablehttp_client(given["url"], headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            result = await session.call_tool(given["name"], given["arguments"])
            print(json.dumps(result.model_dump(mode="json", by_alias=True, exclude_none=True)))


asyncio.run(main())
