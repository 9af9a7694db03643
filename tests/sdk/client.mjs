// Runs the calls of one JavaScript SDK against a base URL and prints what it saw, as one JSON document.
//
// `client.mjs anthropic|openai PACKAGE BASE RUN`, where PACKAGE is the folder of the SDK. The calls are in
// `client_anthropic.mjs` and `client_openai.mjs`.

import { createRequire } from "node:module";
import { failure } from "./seen.mjs";

const [family, folder, base, run] = process.argv.slice(2);
const sdk = createRequire(import.meta.url)(folder);
const { calls } = await import(`./client_${family}.mjs`);
const seen = {};
for (const [script, call] of calls(sdk, base, { "x-run": run })) {
  try {
    seen[script] = await call(script);
  } catch (error) {
    seen[script] = failure(error);
  }
}
process.stdout.write(JSON.stringify(seen).replaceAll(base, "BASE"));
