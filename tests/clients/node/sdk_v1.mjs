// The TypeScript SDK of the 2025 era. See tour.mjs.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { tours } from "./tour.mjs";

await tours(async (url, headers) => {
  const client = new Client({ name: "sdk-v1", version: "1.0.0" });
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  await client.connect(transport);
  return { client, protocol: () => transport.protocolVersion };
});
