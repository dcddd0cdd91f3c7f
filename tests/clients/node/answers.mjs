// A client that can be asked: what the callbacks of the SDKs say is what a server hears. The scripts of the two SDKs differ only
// in how they connect and register. Prints one line of JSON: what was asked, and what the tools said in the end.
//
// The one argument is { url, key, calls }.

export const capabilities = { elicitation: {}, sampling: {}, roots: {} };

const asked = [];

/** What a person, a model and a workspace answer, by method. */
export const answers = {
  "elicitation/create": (params) => {
    asked.push(params.message);
    return { action: "accept", content: { username: "ada", email: "ada@example.org" } };
  },
  "sampling/createMessage": (params) => {
    asked.push(params.messages[0].content.text);
    return { role: "assistant", content: { type: "text", text: "The model says so." }, model: "test", stopReason: "endTurn" };
  },
  "roots/list": () => {
    asked.push("roots");
    return { roots: [{ uri: "file:///home/ada", name: "home" }] };
  },
};

/** Connects and calls all. `connect(url, headers)` gives a connected client and the revision that it speaks. */
export async function answer(connect) {
  const given = JSON.parse(process.argv[2]);
  const { client, protocol } = await connect(new URL(given.url), { Authorization: `Bearer ${given.key}` });
  const said = [];
  for (const call of given.calls) {
    const result = await client.callTool(call);
    said.push(result.content[0].text);
  }
  console.log(JSON.stringify({ protocol: protocol(), asked, said }));
  await client.close();
}
