"""Signs in with the Python SDK of the 2025 era. See oauth.py."""

import asyncio
from contextlib import AsyncExitStack

from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientMetadata
from oauth import CALLBACK, GIVEN, Memory, converse
from tour import dumped


async def main():
    memory = Memory()

    async def callback():
        return memory.callback["code"], memory.callback.get("state")

    metadata = OAuthClientMetadata(
        client_name="patchbay-e2e", redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
    )
    auth = OAuthClientProvider(GIVEN["url"], metadata, memory, memory.redirect, callback)
    async with AsyncExitStack() as stack:
        session = None

        async def connect():
            nonlocal session
            read, write, _ = await stack.enter_async_context(streamablehttp_client(GIVEN["url"], auth=auth))
            session = await stack.enter_async_context(ClientSession(read, write))
            opened = await session.initialize()
            return {"protocol": opened.protocolVersion, "logins": memory.logins}

        async def tools():
            return [tool.name for tool in (await session.list_tools()).tools]

        async def call(name, arguments):
            return dumped(await session.call_tool(name, arguments))

        async def logins():
            return memory.logins

        await converse({"connect": connect, "tools": tools, "call": call, "logins": logins})


asyncio.run(main())
