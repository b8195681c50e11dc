// A peer: what a Node team would write, Fastify and ioredis with auto-pipelining, in production
// settings. Checks timestamp, signature and JSON, and answers 202 when the queue has the event.
'use strict'
const crypto = require('node:crypto')
const fastify = require('fastify')({ logger: false, keepAliveTimeout: 120000 })
const Redis = require('ioredis')

const SECRET = process.env.BENCH_SECRET
const WINDOW_S = 300
const queue = new Redis({ port: Number(process.env.BENCH_QUEUE_PORT), enableAutoPipelining: true })
const text = { type: 'string' }
const answer = { type: 'object', properties: { eventId: text, sessionId: text } }

function verified (headers, body) {
  const timestamp = headers['x-contox-timestamp'] || ''
  if (!/^\d{1,11}$/.test(timestamp)) return false
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > WINDOW_S) return false
  const mac = crypto.createHmac('sha256', SECRET).update(timestamp + '.').update(body)
  const expected = Buffer.from('sha256=' + mac.digest('hex'))
  const given = Buffer.from(headers['x-contox-signature'] || '')
  return expected.length === given.length && crypto.timingSafeEqual(expected, given)
}

fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
  done(null, body)
})
fastify.post('/api/v2/ingest', { schema: { response: { 202: answer } } }, async (request, reply) => {
  if (!verified(request.headers, request.body)) {
    reply.code(401)
    return { error: 'Unauthorized' }
  }
  JSON.parse(request.body)
  const id = 'evt_' + crypto.randomBytes(16).toString('hex')
  const project = request.headers['x-contox-project']
  await queue.xadd('ingest', '*', 'id', id, 'project', project, 'body', request.body)
  reply.code(202)
  return { eventId: id, sessionId: 'sess_0' }
})
fastify.listen({ port: Number(process.env.BENCH_PORT), host: '127.0.0.1' })
