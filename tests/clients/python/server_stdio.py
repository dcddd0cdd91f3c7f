"""A server on the official Python SDK over stdio that speaks 2026-07-28 alone: `initialize` is refused, as such servers
refuse it.
"""

from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import UNSUPPORTED_PROTOCOL_VERSION, Completion


async def modern_only(context, call_next):
    if context.method == "initialize":
        data = {"supported": ["2026-07-28"], "requested": (context.params or {}).get("protocolVersion")}
        raise MCPError(UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data)
    return await call_next(context)


server = MCPServer("words", version="1.0.0", middleware=[modern_only])
WORDS = ["river", "rivet", "rose"]


@server.tool()
def reverse(text: str) -> str:
    """Reads a text backwards."""
    return text[::-1]


@server.tool()
def count(text: str) -> dict[str, int]:
    """Counts the letters of a text."""
    return {letter: text.count(letter) for letter in sorted(set(text))}


@server.prompt()
def rhyme(word: str) -> str:
    """Asks for a rhyme."""
    return f"What rhymes with “{word}”?"


@server.resource("word://motto", mime_type="text/plain")
def motto() -> str:
    """The word of the day."""
    return "río"


@server.resource("word://upper/{word}", mime_type="text/plain")
def upper(word: str) -> str:
    """A word in capitals."""
    return word.upper()


@server.completion()
async def complete(ref, argument, context):
    if argument.name != "word":
        return None
    return Completion(values=[word for word in WORDS if word.startswith(argument.value)])


server.run("stdio")
