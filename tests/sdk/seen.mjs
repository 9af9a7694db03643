// What a JavaScript SDK hands out, told the same way for every SDK and as plain JSON.

import { createHash } from "node:crypto";

// Hop by hop, or different at every turn: not what a client reads.
const UNREAD = new Set(["connection", "keep-alive", "transfer-encoding", "date"]);

/** Anything that the SDK hands out, as plain JSON; long texts by their digest. */
export function told(value) {
  const text = JSON.stringify(value, (_, item) =>
    typeof item === "string" && item.length > 2000
      ? `${item.length} units, ${createHash("sha256").update(item).digest("hex")}`
      : item,
  );
  return text === undefined ? null : JSON.parse(text);
}

/** The headers that a client reads, in the order of their names; every cookie by itself. */
export function headers(all) {
  return [...all].filter(([name]) => !UNREAD.has(name)).map(([name, value]) => `${name}: ${value}`);
}

/** An error as its class, and every fact that a program may act upon. */
export function failure(error) {
  const seen = { class: error.constructor.name, message: error.message };
  for (const name of ["status", "requestID", "error", "code", "type", "param"]) {
    if (error[name] !== undefined) seen[name] = told(error[name]);
  }
  if (error.headers) seen.headers = headers(error.headers);
  return seen;
}

/** An answer with what came beside it. */
export async function raw(call) {
  const { data, response, request_id } = await call.withResponse();
  return { result: told(data), request_id, headers: headers(response.headers) };
}

/** Each event of a stream, what `final` makes of them all, and how the stream ended. */
export async function events(opening, final) {
  const seen = { events: [] };
  try {
    for await (const event of await opening) seen.events.push(told(event));
    if (final) seen.final = told(await final());
  } catch (error) {
    seen.ended_by = failure(error);
  }
  return seen;
}

/** Whether the events of a slow stream came one by one, as they were sent. */
export async function paced(opening) {
  const arrivals = [];
  for await (const _ of await opening) arrivals.push(performance.now());
  return { events: arrivals.length, one_by_one: arrivals.at(-1) - arrivals[0] > 250 };
}

/** The first event of a stream that is then left. */
export async function first(opening) {
  for await (const event of await opening) return told(event);
  return null;
}
