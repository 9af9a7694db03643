// The calls of OpenAI's JavaScript SDK.

import { events, first, paced, raw, told } from "./seen.mjs";

const ASK = {
  model: "gpt-6-mini",
  messages: [{ role: "user", content: "Which ports? 港 🌊" }],
  max_completion_tokens: 900,
};
const LONG = { ...ASK, messages: [{ role: "user", content: "tide table ".repeat(95_000) }] };
const FAILURES = [400, 401, 403, 404, 409, 422, 429, 500, 503];
const BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

/** Each call as the script that it asks the origin for, and the function that makes it. */
export function* calls({ default: Client, toFile }, base, run) {
  const client = new Client({
    apiKey: "sk-key",
    organization: "harbour",
    baseURL: `${base}/v1`,
    defaultHeaders: run,
    timeout: 20_000,
  });
  const by = (script, more) => ({ headers: { "x-script": script }, ...more });
  const asked = { model: ASK.model, input: "Which ports?" };

  const create = (script, ask = ASK, more = {}) => raw(client.chat.completions.create(ask, by(script, more)));
  const once = (script) => create(script, ASK, { maxRetries: 0 });
  const open = (script, more) => client.chat.completions.create({ ...ASK, ...more, stream: true }, by(script));
  const helper = (script) => {
    const stream = client.chat.completions.stream(ASK, by(script));
    return events(stream, () => stream.finalChatCompletion());
  };
  const three = async (script) => ({
    plain: await events(open(script)),
    counted: await events(open(script, { stream_options: { include_usage: true } })),
    helper: await helper(script),
  });
  const crowd = (script) =>
    Promise.all(
      Array.from({ length: 24 }, async (_, number) => {
        const ask = { ...ASK, messages: [{ role: "user", content: `${number}`.repeat(number + 1) }] };
        if (number % 2) return events(client.chat.completions.create({ ...ask, stream: true }, by("stream")));
        return told(await client.chat.completions.create(ask, by(script)));
      }),
    );

  yield ["echo", create];
  yield ["several", (script) => create(script, { ...ASK, n: 3 })];
  yield ["long", (script) => create(script, LONG)];
  for (const script of ["stream", "stream_odd", "stream_cut", "stream_error"]) yield [script, three];
  yield ["stream_slow", (script) => paced(open(script))];
  yield ["stream_left", (script) => first(open(script))];
  yield ["respond", (script) => raw(client.responses.create({ ...asked, max_output_tokens: 64 }, by(script)))];
  yield ["response_stream", (script) => events(client.responses.create({ ...asked, stream: true }, by(script)))];
  yield [
    "response_stream_odd",
    (script) => {
      const stream = client.responses.stream(asked, by(script));
      return events(stream, () => stream.finalResponse());
    },
  ];
  yield ["response_stream_cut", (script) => events(client.responses.create({ ...asked, stream: true }, by(script)))];
  const instruct = { model: "gpt-3.5-turbo-instruct", prompt: "Harw", max_tokens: 5 };
  yield ["complete", (script) => raw(client.completions.create(instruct, by(script)))];
  yield ["completion_stream", (script) => events(client.completions.create({ ...instruct, stream: true }, by(script)))];
  yield [
    "embed",
    (script) => raw(client.embeddings.create({ model: "text-embedding-4", input: "Harwich" }, by(script))),
  ];
  for (const status of FAILURES) yield [`status_${status}`, once];
  yield ["html_502", once];
  yield ["detail_401", once];
  yield ["wont_help", create];
  yield ["wait_long", create];
  for (const script of ["again_429", "again_500", "again_never"]) yield [script, create];
  yield ["stall", (script) => create(script, ASK, { maxRetries: 1, timeout: 1000 })];
  yield ["crowd", crowd];
  yield ["models", async (script) => (await events(client.models.list(by(script)))).events];
  yield [
    "speech",
    async (script) => {
      const spoken = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Harwich" }, by(script));
      const content = Buffer.from(await spoken.arrayBuffer());
      return [content.length, content.equals(Buffer.concat(Array(300).fill(BYTES)))];
    },
  ];
  yield [
    "files",
    async (script) => {
      const file = await toFile(Buffer.concat(Array(1000).fill(BYTES)), "tides.bin");
      return told(await client.files.create({ file, purpose: "user_data" }, by(script)));
    },
  ];
}
