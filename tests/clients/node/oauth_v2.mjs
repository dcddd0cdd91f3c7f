// Signs in with the TypeScript SDK of the 2026 era. See oauth.mjs.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";

import { Memory, converse, given, signedIn } from "./oauth.mjs";

const memory = new Memory();
let client, transport;

async function connect() {
  client = new Client({ name: "oauth-v2", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
  transport = new StreamableHTTPClientTransport(new URL(given.url), { authProvider: memory });
  await client.connect(transport);
}

const attempt = (act) =>
  signedIn(
    memory,
    (error) => error instanceof UnauthorizedError || error?.cause instanceof UnauthorizedError,
    act,
    (callback) => transport.finishAuth(callback),
  );

await converse({
  connect: async () => {
    await attempt(connect);
    return { protocol: client.getNegotiatedProtocolVersion(), logins: memory.logins };
  },
  tools: async () => (await attempt(() => client.listTools())).tools.map((tool) => tool.name),
  call: (call) => attempt(() => client.callTool(call)),
  logins: () => memory.logins,
  close: () => client.close(),
});
