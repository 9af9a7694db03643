// The calls of Anthropic's JavaScript SDK.

import { events, first, paced, raw, told } from "./seen.mjs";

const ASK = { model: "claude-opus-5", max_tokens: 1024, messages: [{ role: "user", content: "Which ports? 港 🌊" }] };
const LONG = { ...ASK, messages: [{ role: "user", content: "tide table ".repeat(95_000) }] };
const FAILURES = [400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 503, 504, 529];
const BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

/** Each call as the script that it asks the origin for, and the function that makes it. */
export function* calls({ default: Client, toFile }, base, run) {
  const client = new Client({ apiKey: "sk-ant-key", baseURL: base, defaultHeaders: run, timeout: 20_000 });
  const by = (script, more) => ({ headers: { "x-script": script }, ...more });

  const create = (script, ask = ASK, more = {}) => raw(client.messages.create(ask, by(script, more)));
  const once = (script) => create(script, ASK, { maxRetries: 0 });
  const open = (script) => client.messages.create({ ...ASK, stream: true }, by(script));
  const helper = (script) => {
    const stream = client.messages.stream(ASK, by(script));
    return events(stream, () => stream.finalMessage());
  };
  const both = async (script) => ({ plain: await events(open(script)), helper: await helper(script) });
  const crowd = (script) =>
    Promise.all(
      Array.from({ length: 24 }, async (_, number) => {
        const ask = { ...ASK, messages: [{ role: "user", content: `${number}`.repeat(number + 1) }] };
        if (number % 2) return told(await client.messages.stream(ask, by("stream_tools")).finalMessage());
        return told(await client.messages.create(ask, by(script)));
      }),
    );

  yield ["echo", create];
  yield ["long", (script) => create(script, LONG)];
  yield ["tools", create];
  for (const script of ["stream", "stream_tools", "stream_odd", "stream_joined", "stream_huge", "stream_error"]) {
    yield [script, both];
  }
  for (const script of ["stream_cut", "stream_cut_inside", "stream_unfinished"]) yield [script, both];
  yield ["stream_slow", (script) => paced(open(script))];
  yield ["stream_left", (script) => first(open(script))];
  for (const status of FAILURES) yield [`status_${status}`, once];
  yield ["html_502", once];
  yield ["wont_help", create];
  for (const script of ["again_429", "again_529", "again_503_409", "again_told", "again_never"]) yield [script, create];
  yield ["again_stream", (script) => events(open(script))];
  yield ["stall", (script) => create(script, ASK, { maxRetries: 1, timeout: 1000 })];
  yield ["crowd", crowd];
  yield [
    "count",
    (script) => raw(client.messages.countTokens({ model: ASK.model, messages: ASK.messages }, by(script))),
  ];
  yield [
    "beta",
    async (script) => told(await client.beta.messages.create({ ...ASK, betas: ["one-2026-01-01", "two"] }, by(script))),
  ];
  yield [
    "beta_stream",
    (script) => events(client.beta.messages.create({ ...ASK, betas: ["one"], stream: true }, by(script))),
  ];
  yield ["models", async (script) => (await events(client.models.list({ limit: 1 }, by(script)))).events];
  yield [
    "batches",
    async (script) => {
      const made = await client.messages.batches.create({ requests: [{ custom_id: "a", params: ASK }] }, by(script));
      return { made: told(made), retrieved: told(await client.messages.batches.retrieve(made.id, {}, by(script))) };
    },
  ];
  yield ["results", (script) => events(client.messages.batches.results("msgbatch_01", {}, by(script)))];
  yield [
    "files",
    async (script) => {
      const file = await toFile(Buffer.concat(Array(1000).fill(BYTES)), "tides.bin");
      return told(await client.beta.files.upload({ file }, by(script)));
    },
  ];
  yield ["unknown", (script) => client.post("/v1/not/yet?known=%2Fkept&empty=", { body: {}, ...by(script) })];
}
