// A virtual user: runs the script's default function again and again, as long as it is told to. A request blocks it, as in k6.

import { parentPort, workerData } from 'node:worker_threads'

const { script, control } = workerData
const { default: iterate, options } = await import(script)
parentPort.postMessage({ options })
for (;;) {
  Atomics.wait(control, 0, 0)
  if (Atomics.load(control, 1) === 1) break
  iterate()
  parentPort.postMessage({ iterated: true })
}
