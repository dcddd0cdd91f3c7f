// Signs in with the TypeScript SDK of the 2025 era. See oauth.mjs.
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { Memory, converse, given, signedIn } from "./oauth.mjs";

const memory = new Memory();
let client, transport;

async function connect() {
  client = new Client({ name: "oauth-v1", version: "1.0.0" });
  transport = new StreamableHTTPClientTransport(new URL(given.url), { authProvider: memory });
  await client.connect(transport);
}

const attempt = (act) =>
  signedIn(
    memory,
    (error) => error instanceof UnauthorizedError,
    act,
    (callback) => transport.finishAuth(callback.get("code")),
  );

await converse({
  connect: async () => {
    await attempt(connect);
    return { protocol: transport.protocolVersion, logins: memory.logins };
  },
  tools: async () => (await attempt(() => client.listTools())).tools.map((tool) => tool.name),
  call: (call) => attempt(() => client.callTool(call)),
  logins: () => memory.logins,
  close: () => client.close(),
});
