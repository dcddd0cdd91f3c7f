"""What each client does at each server that it is sent to: lists everything, calls tools, gets prompts, reads resources,
completes arguments. The scripts of the two SDKs differ only in how they connect. Prints one line of JSON with all answers.

The one argument is a JSON array of tours: { url and key, or command; calls, prompts, reads, completions }.
"""

import json
import sys

PAGES_MAX = 100


def dumped(value):
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def every(list_page, member, cursor_of):
    """All items of a list, over all of its pages."""
    items, cursor = [], None
    for _ in range(PAGES_MAX):
        page = await list_page(cursor)
        items += [dumped(item) for item in getattr(page, member)]
        cursor = cursor_of(page)
        if cursor is None:
            return items
    raise RuntimeError(f"the list of {member} has no end")


async def tour(client, given, cursor_of, templates):
    return {
        "tools": await every(client["list_tools"], "tools", cursor_of),
        "prompts": await every(client["list_prompts"], "prompts", cursor_of),
        "resources": await every(client["list_resources"], "resources", cursor_of),
        "templates": await every(client["list_templates"], templates, cursor_of),
        "called": [dumped(await client["call"](call["name"], call["arguments"])) for call in given["calls"]],
        "got": [dumped(await client["get"](prompt["name"], prompt["arguments"])) for prompt in given["prompts"]],
        "read": [dumped(await client["read"](uri)) for uri in given["reads"]],
        "completed": [
            dumped(await client["complete"](completion["ref"], completion["argument"]))
            for completion in given["completions"]
        ],
    }


def tours():
    return json.loads(sys.argv[1])


def tell(answers):
    print(json.dumps(answers, ensure_ascii=False), flush=True)
