// k6's module `k6`: `check` counts what holds of a value, and says whether all does.

import { parentPort } from 'node:worker_threads'

export function check(value, conditions) {
  const checks = Object.fromEntries(Object.entries(conditions).map(([name, holds]) => [name, Boolean(holds(value))]))
  parentPort.postMessage({ checks })
  return Object.values(checks).every(Boolean)
}
