// What each client does at each server that it is sent to: lists everything, calls tools, gets prompts, reads resources,
// completes arguments. The scripts of the two SDKs differ only in how they connect. Prints one line of JSON with all answers.
//
// The one argument is a JSON array of tours: { url, key, calls, prompts, reads, completions }.

/** All items of a list, over all of its pages; some clients walk the pages themselves. */
async function all(list, member) {
  const items = [];
  let cursor;
  for (let page = 0; page < 100; page += 1) {
    const result = await list(cursor === undefined ? undefined : { cursor });
    items.push(...result[member]);
    cursor = result.nextCursor;
    if (cursor === undefined) return items;
  }
  throw new Error(`the list of ${member} has no end`);
}

async function each(items, act) {
  const answers = [];
  for (const item of items) answers.push(await act(item));
  return answers;
}

async function tour(client, { calls, prompts, reads, completions }) {
  return {
    server: client.getServerVersion(),
    tools: await all((params) => client.listTools(params), "tools"),
    prompts: await all((params) => client.listPrompts(params), "prompts"),
    resources: await all((params) => client.listResources(params), "resources"),
    templates: await all((params) => client.listResourceTemplates(params), "resourceTemplates"),
    called: await each(calls, (call) => client.callTool(call)),
    got: await each(prompts, (prompt) => client.getPrompt(prompt)),
    read: await each(reads, (uri) => client.readResource({ uri })),
    completed: await each(completions, (completion) => client.complete(completion)),
  };
}

/** Goes on all tours. `connect(url, headers)` gives a connected client and the revision that it speaks. */
export async function tours(connect) {
  const answers = [];
  for (const given of JSON.parse(process.argv[2])) {
    const { client, protocol } = await connect(new URL(given.url), { Authorization: `Bearer ${given.key}` });
    answers.push({ protocol: protocol(), ...(await tour(client, given)) });
    await client.close();
  }
  console.log(JSON.stringify(answers));
}
