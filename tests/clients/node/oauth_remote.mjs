// A host that knows stdio alone, with mcp-remote before the toolset, which does all of OAuth by itself and opens the browser
// that the environment names. The conversation with the test is that of oauth.mjs.
//
// The one argument is JSON: { url, program, environment }.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

import { converse, given } from "./oauth.mjs";

let client;

await converse({
  connect: async () => {
    client = new Client({ name: "oauth-remote", version: "1.0.0" });
    const args = [given.program, given.url, "--transport", "http-only", "--auth-timeout", "30"];
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args, env: given.environment, stderr: "inherit" }),
      { timeout: 45_000 },
    );
    return { server: client.getServerVersion() };
  },
  tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
  call: (call) => client.callTool(call),
  close: () => client.close(),
});
