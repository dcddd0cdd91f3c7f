"""A FastMCP server over Streamable HTTP that speaks 2026-07-28 alone: `initialize` is refused, as such servers refuse it.

The first line of stdout is `listening URL`.
"""

import asyncio
import socket

from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware
from mcp.shared.exceptions import MCPError
from mcp_types import UNSUPPORTED_PROTOCOL_VERSION
from pydantic import BaseModel


class ModernOnly(Middleware):
    async def on_initialize(self, context, call_next):
        data = {"supported": ["2026-07-28"], "requested": context.message.params.protocol_version}
        raise MCPError(UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data)


server = FastMCP("notes", version="1.0.0", middleware=[ModernOnly()])
TOPICS = ["weather", "welcome", "work"]


class Order(BaseModel):
    product: str
    pieces: int
    note: str | None = None


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
def describe_order(order: Order) -> dict[str, str | int | float]:
    """Says what was ordered."""
    return {"text": f"{order.pieces} × {order.product}", "pieces": order.pieces, "weight": order.pieces * 0.1}


@server.tool
def fail(reason: str) -> str:
    """Always fails."""
    raise ValueError(reason)


@server.prompt
def write_note(topic: str) -> str:
    """Asks for a note on a topic."""
    return f"Write a note about {topic}."


@server.resource("note://welcome", mime_type="text/plain")
def welcome() -> str:
    """The first note."""
    return "Welcome, “reader” – enjoy.\n"


@server.resource("note://topics/{topic}", mime_type="text/plain")
def note(topic: str) -> str:
    """A note on a topic."""
    return f"A note about {topic}."


@server.completion
def complete(reference, argument, context):
    return [topic for topic in TOPICS if argument.name == "topic" and topic.startswith(argument.value)]


async def main():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        print(f"listening http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        await server.run_http_async(show_banner=False, sockets=[listener], log_level="warning")


asyncio.run(main())
