// The TypeScript SDK of the 2026 era, which answers what results ask for by itself. See answers.mjs.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { answer, answers, capabilities } from "./answers.mjs";

await answer(async (url, headers) => {
  const client = new Client({ name: "sdk-v2", version: "1.0.0" }, { capabilities, versionNegotiation: { mode: "auto" } });
  for (const [method, say] of Object.entries(answers)) {
    client.setRequestHandler(method, async (request) => say(request.params));
  }
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  return { client, protocol: () => client.getNegotiatedProtocolVersion() };
});
