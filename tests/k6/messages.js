// k6 load test script
import http from 'k6/http'
import { check } from 'k6'

export let options = {
  stages: [
    { duration: '5m', target: 100 },
    { duration: '10m', target: 100 },
    { duration: '5m', target: 0 },
  ],
}

export default function () {
  let response = http.post(
    'http://localhost:3000/v1/messages',
    JSON.stringify({
      messages: [{ role: 'user', content: 'Hello' }],
      model: 'claude-3-haiku-20240307',
      max_tokens: 100,
    }),
    {
      headers: {
        'Content-Type': 'application/json',
        Authorization: 'Bearer test-key',
        Host: 'test.example.com',
      },
    }
  )

  check(response, {
    'status is 200': r => r.status === 200,
    'response time < 500ms': r => r.timings.duration < 500,
  })
}
