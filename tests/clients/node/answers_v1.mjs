// The TypeScript SDK of the 2025 era. See answers.mjs.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

import { answer, answers, capabilities } from "./answers.mjs";

await answer(async (url, headers) => {
  const client = new Client({ name: "sdk-v1", version: "1.0.0" }, { capabilities });
  for (const schema of [CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema]) {
    client.setRequestHandler(schema, async (request) => answers[request.method](request.params));
  }
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  await client.connect(transport);
  return { client, protocol: () => transport.protocolVersion };
});
