"""A client that can be asked: what the callbacks of the SDKs say is what a server hears. The scripts of the two SDKs differ only
in how they connect and where their types are. Prints one line of JSON: what was asked, and what the tools said in the end.

The one argument is { url, key, calls }.
"""

import json
import sys


def given():
    return json.loads(sys.argv[1])


def callbacks(types, asked):
    """What a person, a model and a workspace answer."""

    async def elicit(context, params):
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"username": "ada", "email": "ada@example.org"})

    async def sample(context, params):
        content = params.messages[0].content
        asked.append((content[0] if isinstance(content, list) else content).text)
        said = types.TextContent(type="text", text="The model says so.")
        return types.CreateMessageResult(role="assistant", content=said, model="test")

    async def roots(context):
        asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///home/ada", name="home")])

    return {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}


async def answer(client, protocol, asked):
    said = []
    for call in given()["calls"]:
        result = await client.call_tool(call["name"], call["arguments"])
        said.append(result.content[0].text)
    print(json.dumps({"protocol": protocol, "asked": asked, "said": said}), flush=True)
