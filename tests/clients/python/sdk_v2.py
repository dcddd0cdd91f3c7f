"""The Python SDK of the 2026 era, which finds out by itself what the other side speaks. See tour.py.

It also visits servers directly, over HTTP and over stdio, and so tells what the gateway's answers are held against.
"""

import asyncio

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import PromptReference, ResourceTemplateReference
from tour import dumped, tell, tour, tours


def reference(ref):
    kind = PromptReference if ref["type"] == "ref/prompt" else ResourceTemplateReference
    return kind.model_validate(ref)


def server(given):
    if "command" in given:
        program, *arguments = given["command"]
        return StdioServerParameters(command=program, args=arguments)
    headers = {"Authorization": f"Bearer {given['key']}"} if "key" in given else {}
    return streamable_http_client(given["url"], http_client=httpx2.AsyncClient(headers=headers, timeout=30))


async def visit(given):
    async with Client(server(given), mode="auto") as client:
        ways = {
            "list_tools": lambda cursor: client.list_tools(cursor=cursor),
            "list_prompts": lambda cursor: client.list_prompts(cursor=cursor),
            "list_resources": lambda cursor: client.list_resources(cursor=cursor),
            "list_templates": lambda cursor: client.list_resource_templates(cursor=cursor),
            "call": client.call_tool,
            "get": client.get_prompt,
            "read": client.read_resource,
            "complete": lambda ref, argument: client.complete(reference(ref), argument),
        }
        answers = await tour(ways, given, lambda page: page.next_cursor, "resource_templates")
        told = {"protocol": client.protocol_version, "server": dumped(client.server_info)}
        return told | answers


async def main():
    tell([await visit(given) for given in tours()])


asyncio.run(main())
