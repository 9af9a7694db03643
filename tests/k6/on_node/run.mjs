// Runs a k6 script on Node, where k6 itself is not to be had: its stages, its virtual users each on a thread of its own, `k6/http` and
// `check`. Prints what came of the checks as one line of JSON. It is no k6: no thresholds, no metrics but these.
//
//   node run.mjs [--stage 5s:20]… [--connect-to HOST:PORT] SCRIPT
//
// --stage takes the place of the script's own stages, as in `k6 run --stage`. --connect-to connects there, whatever the URL says, as in curl.

import { copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: { stage: { type: 'string', multiple: true }, 'connect-to': { type: 'string' } },
})
const folder = mkdtempSync(join(tmpdir(), 'k6-on-node-'))
process.on('exit', () => rmSync(folder, { recursive: true }))
// the script finds the modules that k6 has built in beside itself, and is a module as in k6
cpSync(fileURLToPath(new URL('./k6', import.meta.url)), join(folder, 'node_modules/k6'), { recursive: true })
const script = join(folder, 'script.mjs')
copyFileSync(positionals[0], script)

// A virtual user, with a connection of its own.
class User {
  #control = new Int32Array(new SharedArrayBuffer(12)) // whether to go on, whether to the end, whether an answer is there
  #agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

  constructor() {
    const workerData = { script: pathToFileURL(script).href, control: this.#control }
    const worker = new Worker(new URL('./user.mjs', import.meta.url), { workerData })
    this.ended = new Promise(resolve => worker.once('exit', resolve))
    this.ready = new Promise(resolve => {
      worker.on('message', async message => {
        if (message.options) resolve(message.options)
        if (message.iterated) iterations += 1
        if (message.checks) count(message.checks)
        if (message.request) {
          worker.postMessage(await request(this.#agent, message.request))
          this.#tell(2, 1)
        }
      })
    })
  }

  // Iterates from now on, or stops after the iteration that it is in.
  iterate(yes) {
    this.#tell(0, yes ? 1 : 0)
  }

  end() {
    this.#tell(1, 1)
    this.iterate(true)
  }

  #tell(place, value) {
    Atomics.store(this.#control, place, value)
    Atomics.notify(this.#control, place)
  }
}

const checks = new Map()
let iterations = 0

const first = new User()
const own = (await first.ready).stages.map(({ duration, target }) => [duration, target])
const stages = (given.stage?.map(stage => stage.split(':')) ?? own).map(([duration, target]) => [milliseconds(duration), Number(target)])
const more = Math.max(...stages.map(([, target]) => target)) - 1
// all are there before the first begins, as in k6
const users = [first, ...Array.from({ length: more }, () => new User())]
await Promise.all(users.map(user => user.ready))
await run()
users.forEach(user => user.end())
await Promise.all(users.map(user => user.ended))
console.log(JSON.stringify({ iterations, users: users.length, checks: Object.fromEntries(checks) }))

// Follows the stages: the number of users that iterate grows and falls in a straight line within each.
async function run() {
  let from = 0
  for (const [length, target] of stages) {
    const begun = performance.now()
    for (let passed = 0; passed < length; passed = performance.now() - begun) {
      const wanted = Math.round(from + ((target - from) * passed) / length)
      users.forEach((user, place) => user.iterate(place < wanted))
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    from = target
  }
}

function count(results) {
  for (const [name, passed] of Object.entries(results)) {
    const sums = checks.get(name) ?? { passes: 0, fails: 0 }
    sums[passed ? 'passes' : 'fails'] += 1
    checks.set(name, sums)
  }
}

// Sends a request. Its duration is k6's: from the connection on, through sending and waiting, to the last byte.
function request(agent, { method, url, body, headers }) {
  const [hostname, port] = given['connect-to']?.split(':') ?? []
  return new Promise(resolve => {
    let begun = performance.now()
    const duration = () => ({ duration: performance.now() - begun })
    const sent = http.request(url, { method, headers, agent, ...(hostname && { hostname, port }) }, response => {
      const pieces = []
      response.on('data', piece => pieces.push(piece))
      response.on('close', () => {
        const status = response.complete ? response.statusCode : 0
        resolve({ status, body: Buffer.concat(pieces).toString(), timings: duration() })
      })
    })
    sent.on('socket', socket => socket.connecting && socket.once('connect', () => (begun = performance.now())))
    sent.on('error', error => resolve({ status: 0, error: error.message, body: null, timings: duration() }))
    sent.end(body)
  })
}

function milliseconds(text) {
  const [, number, unit] = /^([0-9.]+)(ms|s|m|h)$/.exec(text) ?? []
  if (!unit) throw new Error(`${text} is no duration`)
  return Number(number) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit]
}
