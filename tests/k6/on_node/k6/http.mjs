// k6's module `k6/http`: a request, and its answer once it is there. The main thread sends it.

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'

export function request(method, url, body = null, { headers = {} } = {}) {
  const { control } = workerData
  Atomics.store(control, 2, 0)
  parentPort.postMessage({ request: { method, url, body, headers } })
  Atomics.wait(control, 2, 0)
  return receiveMessageOnPort(parentPort).message
}

export const post = (url, body, params) => request('POST', url, body, params)
export const get = (url, params) => request('GET', url, null, params)

export default { request, post, get }
