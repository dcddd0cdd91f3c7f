"""Signs in with the Python SDK of the 2026 era. See oauth.py."""

import asyncio
from contextlib import AsyncExitStack

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from oauth import CALLBACK, GIVEN, Memory, converse
from tour import dumped


async def main():
    memory = Memory()

    async def callback():
        wanted = {name: memory.callback[name] for name in ("code", "state", "iss") if name in memory.callback}
        return AuthorizationCodeResult(**wanted)

    metadata = OAuthClientMetadata(
        client_name="patchbay-e2e", redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
    )
    auth = OAuthClientProvider(GIVEN["url"], metadata, memory, memory.redirect, callback)
    async with AsyncExitStack() as stack:
        client = None

        async def connect():
            nonlocal client
            http = httpx2.AsyncClient(auth=auth, timeout=30)
            server = streamable_http_client(GIVEN["url"], http_client=http)
            client = await stack.enter_async_context(Client(server, mode="auto"))
            return {"protocol": client.protocol_version, "logins": memory.logins}

        async def tools():
            return [tool.name for tool in (await client.list_tools()).tools]

        async def call(name, arguments):
            return dumped(await client.call_tool(name, arguments))

        async def logins():
            return memory.logins

        await converse({"connect": connect, "tools": tools, "call": call, "logins": logins})


asyncio.run(main())
