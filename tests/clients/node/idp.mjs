// A real OpenID provider (oidc-provider) for the tests: users log in at its own pages, clients register themselves, tokens are
// for the resource that was asked for (RFC 8707). A second port takes the test's orders, see `orders` below; what the provider
// is made to do wrong there is done before the provider, to whole answers.
//
// The one argument is JSON: { users: { name: { name, groups } }, alg, format, ttl }. Prints one line { issuer, control }.
import * as crypto from "node:crypto";
import * as http from "node:http";

import { exportJWK } from "jose";
import { Provider } from "oidc-provider";

const SCOPES = ["mcp:read", "mcp:write", "mcp:admin", "mcp:deploy"];
// Where a client that registered beforehand is called back; any port of loopback, as for all native applications.
const CALLBACK = "http://127.0.0.1/callback";

const state = { users: {}, alg: "ES256", format: "jwt", ttl: 3600, ...JSON.parse(process.argv[2] ?? "{}") };
// What was asked of the provider, and what to do wrong to whom who asks, by path.
const seen = [];
const troubles = {};
// Who got tokens how.
const grants = [];
// All that it gave out that must never be seen elsewhere.
const issued = new Set();

// --- Keys -----------------------------------------------------------------------------------------------------------------

const KINDS = {
  RS256: () => crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ES256: () => crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: () => crypto.generateKeyPairSync("ed25519"),
};
let generation = 0;
let keys = {};
// Keys that are in no key set, or in a part of it that nobody should use.
const strangers = {};
let extra = [];

function newKeys() {
  generation += 1;
  const made = Object.entries(KINDS).map(([alg, make]) => [alg, { kid: `${alg.toLowerCase()}-${generation}`, ...make() }]);
  keys = Object.fromEntries(made);
}

async function privateKeys() {
  const jwk = async ([alg, { kid, privateKey }]) => ({ ...(await exportJWK(privateKey)), kid, alg, use: "sig" });
  return { keys: await Promise.all(Object.entries(keys).map(jwk)) };
}

function stranger(name) {
  strangers[name] ??=
    name === "weak"
      ? { kid: name, ...crypto.generateKeyPairSync("rsa", { modulusLength: 1024 }) }
      : name.startsWith("enc-")
        ? { kid: name, ...KINDS.ES256() }
        : { kid: name, ...KINDS[name.split(":")[0]]() };
  return strangers[name];
}

/** A key for the key set that its users must ignore. */
async function poisoned(name) {
  if (name === "oct") return { kty: "oct", kid: "oct", alg: "HS256", k: Buffer.from("0123456789abcdef0123456789abcdef").toString("base64url") };
  const { kid, publicKey } = stranger(name);
  const use = name.startsWith("enc-") ? "enc" : "sig";
  return { ...(await exportJWK(publicKey)), kid, use };
}

// --- The provider ---------------------------------------------------------------------------------------------------------

const listener = http.createServer();
const controller = http.createServer();
const port = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
const issuer = `http://127.0.0.1:${await port(listener)}`;
const control = `http://127.0.0.1:${await port(controller)}`;
const cookieKeys = [crypto.randomBytes(16).toString("hex")];

const resourceServer = (resource) => ({
  scope: SCOPES.join(" "),
  audience: resource,
  accessTokenTTL: state.ttl,
  accessTokenFormat: state.format,
  jwt: { sign: { alg: state.alg } },
});

const person = (sub) => ({ name: state.users[sub]?.name ?? sub, groups: state.users[sub]?.groups ?? [] });
const canary = () => `canary-${crypto.randomBytes(18).toString("hex")}`;

async function makeProvider() {
  const made = new Provider(issuer, {
    jwks: await privateKeys(),
    cookies: { keys: cookieKeys },
    scopes: ["openid", "offline_access", "profile", ...SCOPES],
    claims: { openid: ["sub"], profile: ["name", "groups"] },
    clients: [
      {
        client_id: "ide",
        application_type: "native",
        redirect_uris: [CALLBACK],
        grant_types: ["authorization_code", "refresh_token"],
        token_endpoint_auth_method: "none",
      },
      {
        client_id: "patchbay",
        client_secret: "a-secret-of-the-tests-%-&-+",
        redirect_uris: [],
        response_types: [],
        grant_types: ["client_credentials"],
      },
    ],
    clientBasedCORS: () => true,
    pkce: { required: () => true },
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    ttl: {
      AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? state.ttl,
      ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? state.ttl,
      AuthorizationCode: 60,
      Grant: 86_400,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub, ...person(sub) }) }),
    extraTokenClaims: (_ctx, token) => ({ ...(token.accountId && person(token.accountId)), canary: canary() }),
    formats: {
      customizers: {
        jwt(_ctx, token, jwt) {
          if (token.overrides === undefined) return;
          jwt.header = token.overrides.header;
          Object.assign(jwt.payload, token.overrides.claims);
          for (const [name, value] of Object.entries(jwt.payload)) if (value === null) delete jwt.payload[name];
        },
      },
    },
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
      },
    },
  });
  made.on("grant.success", (ctx) => {
    const { grant_type: kind, client_id: client, resource } = ctx.oidc.params;
    grants.push({ kind, client, resource, scope: ctx.body.scope });
    for (const name of ["access_token", "refresh_token"]) if (ctx.body[name]) issued.add(ctx.body[name]);
  });
  return made;
}

newKeys();
let provider = await makeProvider();
let answer = provider.callback();

// --- What is done before the provider -------------------------------------------------------------------------------------

const read = async (request) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
};

const json = (response, status, body, headers = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

async function keySet() {
  const own = Object.entries(keys).map(async ([alg, { kid, publicKey }]) => ({ ...(await exportJWK(publicKey)), kid, alg, use: "sig" }));
  return { keys: [...(await Promise.all(extra.map(poisoned))), ...(await Promise.all(own))] };
}

/** What goes wrong; whether the provider is still to answer. */
async function trouble({ kind, ms, status, location }, response) {
  switch (kind) {
    case "down":
      response.socket.destroy();
      return false;
    case "hang":
      return false;
    case "slow":
      await new Promise((done) => setTimeout(done, ms));
      return true;
    case "status":
      json(response, status, { error: "temporarily_unavailable" });
      return false;
    case "garbage":
      response.writeHead(200, { "content-type": "application/json" }).end("{ this is no JSON");
      return false;
    case "huge":
      json(response, 200, { padding: "x".repeat(8 << 20), ...(await keySet()) });
      return false;
    case "redirect":
      response.writeHead(302, { location: location ?? `${issuer}/elsewhere/jwks` }).end();
      return false;
    default:
      throw new Error(`no such trouble: ${kind}`);
  }
}

listener.on("request", async (request, response) => {
  const path = new URL(request.url, issuer).pathname;
  seen.push({ method: request.method, path });
  if (troubles[path] && !(await trouble(troubles[path], response))) return;
  if (path === "/elsewhere/jwks" || (path === "/jwks" && extra.length > 0)) return json(response, 200, await keySet());
  if (path === "/reg" && request.method === "POST") {
    // Whoever registered may ask for every scope, as RFC 7591 lets a server decide.
    const { scope, ...body } = JSON.parse(await read(request));
    request.body = body;
  }
  answer(request, response);
});

// --- A browser of somebody who logs in and agrees -------------------------------------------------------------------------

async function browse(url, user) {
  const cookies = new Map();
  let next = { url, method: "GET" };
  for (let step = 0; step < 20; step += 1) {
    if (!next.url.startsWith(`${issuer}/`)) return next.url;
    const response = await fetch(next.url, {
      method: next.method,
      body: next.body,
      redirect: "manual",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "") cookies.delete(name);
      else cookies.set(name, value);
    }
    const text = await response.text();
    if (response.status >= 300 && response.status < 400) {
      next = { url: new URL(response.headers.get("location"), next.url).href, method: "GET" };
      continue;
    }
    const [, action] = /<form[^>]* action="([^"]+)"/.exec(text) ?? [];
    const [, prompt] = /name="prompt" value="([^"]+)"/.exec(text) ?? [];
    if (response.status !== 200 || action === undefined) {
      throw new Error(`the provider has no page to go on with: ${response.status} ${text.replace(/<style[^]*<\/style>/, "")}`);
    }
    const form = new URLSearchParams({ prompt, ...(prompt === "login" && { login: user, password: "any" }) });
    next = { url: new URL(action.replaceAll("&amp;", "&"), next.url).href, method: "POST", body: form };
  }
  throw new Error("the login has no end");
}

// --- Tokens without a login -----------------------------------------------------------------------------------------------

/** A token of the provider's own making, for a person, as if somebody had logged in. `null` takes a claim away. */
async function mint({ sub, scope, resource, ttl, claims = {}, header, client = "ide", alg, format }) {
  const grant = new provider.Grant({ accountId: sub, clientId: client });
  grant.addResourceScope(resource, scope);
  const server = { ...resourceServer(resource), ...(alg && { jwt: { sign: { alg } } }), ...(format && { accessTokenFormat: format }) };
  const token = new provider.AccessToken({
    accountId: sub,
    client: await provider.Client.find(client),
    grantId: await grant.save(),
    resourceServer: new provider.ResourceServer(resource, server),
    scope,
    expiresIn: ttl ?? state.ttl,
    extra: { ...person(sub), canary: canary() },
  });
  token.overrides = { claims, header };
  return { token: keep(await token.save()) };
}

function keep(token) {
  issued.add(token);
  return token;
}

const encoded = (part) => Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");

function signature(how, input) {
  if (how === "none") return "";
  if (how === "public key as secret") {
    const secret = keys.RS256.publicKey.export({ type: "spki", format: "pem" });
    return crypto.createHmac("sha256", secret).update(input).digest("base64url");
  }
  const { privateKey } = keys[how] ?? stranger(how);
  const kind = privateKey.asymmetricKeyType;
  const [digest, key] = kind === "ed25519" ? [null, privateKey] : ["sha256", kind === "ec" ? { key: privateKey, dsaEncoding: "ieee-p1363" } : privateKey];
  return crypto.sign(digest, Buffer.from(input), key).toString("base64url");
}

/** A token with whatever header and claims, be they objects or text, signed by a key of ours, a stranger's, or by nobody. */
function forge({ header, payload, by }) {
  const input = `${encoded(header)}.${encoded(payload)}`;
  return { token: keep(`${input}.${signature(by, input)}`) };
}

// --- The test's orders ----------------------------------------------------------------------------------------------------

const orders = {
  /** Changes users, the algorithm, the format (jwt or opaque) and the life of the tokens that are made from now on. */
  set: (changes) => Object.assign(state, changes),
  /** Logs in at an authorization URL; gives the URL that the browser is sent back to. */
  login: async ({ url, user }) => ({ location: await browse(url, user) }),
  mint,
  forge,
  /** The names of the keys as they are now. */
  kids: () => Object.fromEntries(Object.entries(keys).map(([alg, { kid }]) => [alg, kid])),
  /** New keys; the old ones are gone. */
  rotate: async () => {
    newKeys();
    provider = await makeProvider();
    answer = provider.callback();
    return {};
  },
  /** Puts further keys into the key set: oct, weak, enc-…. */
  extra: ({ names }) => {
    extra = names;
    return {};
  },
  /** From now on this goes wrong at this path; without a kind all is well again. */
  trouble: ({ path, ...what }) => {
    if (what.kind) troubles[path] = what;
    else delete troubles[path];
    return {};
  },
  /** What was asked of the provider, and when it is told to, forgets it. */
  seen: ({ forget }) => (forget ? seen.splice(0) : [...seen]),
  /** Who got tokens, how, for which resource and scopes. */
  grants: () => grants,
  /** Every token that it gave out. */
  issued: () => [...issued],
};

controller.on("request", async (request, response) => {
  try {
    const order = orders[request.url.slice(1)];
    if (order === undefined) throw new Error(`no such order: ${request.url}`);
    json(response, 200, await order(JSON.parse((await read(request)) || "{}")));
  } catch (error) {
    json(response, 500, { error: String(error.stack ?? error) });
  }
});

console.log(JSON.stringify({ issuer, control }));
