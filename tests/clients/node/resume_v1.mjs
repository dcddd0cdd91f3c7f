// The TypeScript SDK of the 2025 era, which comes back by itself to a stream that broke: connects, calls one tool, and prints the
// result. The one argument is a JSON object: { url, key, name, arguments }.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const given = JSON.parse(process.argv[2]);
const client = new Client({ name: "resume-v1", version: "1.0.0" });
const headers = { Authorization: `Bearer ${given.key}` };
await client.connect(new StreamableHTTPClientTransport(new URL(given.url), { requestInit: { headers } }));
console.log(JSON.stringify(await client.callTool({ name: given.name, arguments: given.arguments })));
await client.close();
