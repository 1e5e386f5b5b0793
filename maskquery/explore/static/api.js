// Requests to the explorer's server. What it refuses is an Error with its sentence.

// The browser keeps pictures by their address, so it names the server that they are from.
let version = "";
export const servedAs = (name) => { version = name; };

export const picture = (kind, image, mask) =>
  `/api/${kind}?` + new URLSearchParams({ image, ...(mask === undefined ? {} : { mask }), version });

async function answer(response) {
  if (response.ok) return response;
  let found;
  try { found = (await response.json()).error; } catch { /* not the server's own words */ }
  throw new Error(found || `the server answered ${response.status}`);
}

async function sent(...request) {
  try {
    return await fetch(...request);
  } catch {
    throw new Error("the server does not answer: is `make explore` still running?");
  }
}

export async function get(path) {
  return answer(await sent(path));
}

export async function post(path, body) {
  const response = await sent(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  return (await answer(response)).json();
}
