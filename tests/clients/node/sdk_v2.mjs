// The TypeScript SDK of the 2026 era, which finds out by itself what the other side speaks. See tour.mjs.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { tours } from "./tour.mjs";

await tours(async (url, headers) => {
  const client = new Client({ name: "sdk-v2", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  return { client, protocol: () => client.getNegotiatedProtocolVersion() };
});
