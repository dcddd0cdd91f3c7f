"""What the OAuth scripts of the two Python SDKs share: the memory of a host, the browser, and the conversation with the test.

The one argument is JSON: { url, browser, user }. Each line of stdin is one order, each line of stdout its answer, as in
oauth.mjs beside this.
"""

import asyncio
import json
import sys
import traceback
import urllib.request
from urllib.parse import parse_qs, urlparse

GIVEN = json.loads(sys.argv[1])
CALLBACK = "http://127.0.0.1:3118/callback"


class Memory:
    """What the SDK wants kept."""

    def __init__(self):
        self.tokens = None
        self.client = None
        self.logins = 0
        self.callback = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info

    async def redirect(self, url):
        """Lets the user log in, and keeps where the browser was sent back to."""
        self.logins += 1
        order = json.dumps({"url": url, "user": GIVEN["user"]}).encode()
        request = urllib.request.Request(f"{GIVEN['browser']}/login", data=order)
        answer = await asyncio.to_thread(lambda: json.load(urllib.request.urlopen(request, timeout=40)))
        self.callback = {name: values[0] for name, values in parse_qs(urlparse(answer["location"]).query).items()}
        if "code" not in self.callback:
            raise RuntimeError(f"the provider refuses: {answer['location']}")


async def converse(orders):
    """Answers the test's orders, one by one, until `close`."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        params = json.loads(line)
        order = params.pop("do")
        try:
            said = {"ok": None if order == "close" else await orders[order](**params)}
        except Exception:
            said = {"error": traceback.format_exc()}
        print(json.dumps(said), flush=True)
        if order == "close":
            return
