// What the OAuth scripts of the two TypeScript SDKs share: the memory of a host that signs its user in, and the conversation
// with the test. All of OAuth is done by the SDK; the browser is one that the identity provider of the tests drives.
//
// The one argument is JSON: { url, browser, user }. Each line of stdin is one order, each line of stdout its answer:
// { do: "connect" } | { do: "tools" } | { do: "call", name, arguments } | { do: "close" } → { ok } | { error }.
import { createInterface } from "node:readline";

export const given = JSON.parse(process.argv[2]);

/** What a host keeps for the SDK. */
export class Memory {
  redirectUrl = "http://127.0.0.1:3118/callback";
  clientMetadata = {
    client_name: "patchbay-e2e",
    redirect_uris: [this.redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  logins = 0;
  callback = undefined;

  clientInformation() {
    return this.client;
  }
  saveClientInformation(client) {
    this.client = client;
  }
  tokens() {
    return this.kept;
  }
  saveTokens(tokens) {
    this.kept = tokens;
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }
  codeVerifier() {
    return this.verifier;
  }
  saveDiscoveryState(discovery) {
    this.discovery = discovery;
  }
  discoveryState() {
    return this.discovery;
  }
  /** Lets the user log in, and keeps where the browser was sent back to. */
  async redirectToAuthorization(url) {
    this.logins += 1;
    const response = await fetch(`${given.browser}/login`, {
      method: "POST",
      body: JSON.stringify({ url: url.href, user: given.user }),
    });
    const answer = await response.json();
    if (answer.location === undefined) throw new Error(answer.error);
    this.callback = new URL(answer.location).searchParams;
    if (!this.callback.has("code")) throw new Error(`the provider refuses: ${answer.location}`);
  }
}

/** Does something; when the SDK wants the user back first, ends the sign-in with `finish(callback)` and does it again. */
export async function signedIn(memory, isUnauthorized, act, finish) {
  try {
    return await act();
  } catch (error) {
    if (!isUnauthorized(error) || memory.callback === undefined) throw error;
    const callback = memory.callback;
    memory.callback = undefined;
    await finish(callback);
    return act();
  }
}

/** Answers the test's orders, one by one. */
export async function converse(orders) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: order, ...params } = JSON.parse(line);
    try {
      console.log(JSON.stringify({ ok: (await orders[order](params)) ?? null }));
    } catch (error) {
      console.log(JSON.stringify({ error: `${error?.stack ?? error}` }));
    }
    if (order === "close") process.exit(0);
  }
}
