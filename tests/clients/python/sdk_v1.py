"""The Python SDK of the 2025 era. See tour.py."""

import asyncio

from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client
from tour import dumped, tell, tour, tours


def reference(ref):
    kind = types.PromptReference if ref["type"] == "ref/prompt" else types.ResourceTemplateReference
    return kind.model_validate(ref)


async def visit(given):
    headers = {"Authorization": f"Bearer {given['key']}"}
    async with streamablehttp_client(given["url"], headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            opened = await session.initialize()
            client = {
                "list_tools": lambda cursor: session.list_tools(cursor),
                "list_prompts": lambda cursor: session.list_prompts(cursor),
                "list_resources": lambda cursor: session.list_resources(cursor),
                "list_templates": lambda cursor: session.list_resource_templates(cursor),
                "call": session.call_tool,
                "get": session.get_prompt,
                "read": session.read_resource,
                "complete": lambda ref, argument: session.complete(reference(ref), argument),
            }
            answers = await tour(client, given, lambda page: page.nextCursor, "resourceTemplates")
            return {"protocol": opened.protocolVersion, "server": dumped(opened.serverInfo)} | answers


async def main():
    tell([await visit(given) for given in tours()])


asyncio.run(main())
