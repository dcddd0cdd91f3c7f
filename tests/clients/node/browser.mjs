// The browser of mcp-remote: logs the user in at the provider of the tests, and then goes where it is sent back to.
// The arguments: the control URL of the provider, the user, the URL.
const [control, user, url] = process.argv.slice(2);
const answer = await fetch(`${control}/login`, { method: "POST", body: JSON.stringify({ url, user }) });
const { location, error } = await answer.json();
if (location === undefined) throw new Error(error);
// A person takes longer to log in than mcp-remote to listen; we do not.
for (const end = Date.now() + 20_000; ; await new Promise((done) => setTimeout(done, 50))) {
  try {
    const page = await fetch(location);
    if (!page.ok) throw new Error(`${location} answers ${page.status}`);
    break;
  } catch (error) {
    if (Date.now() > end) throw error;
  }
}
