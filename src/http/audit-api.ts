// The audit trail and what forgets a person, under /api/v1: for admins (permissions.ts).
//
//   GET  /audit          records as JSON lines, oldest first; all of them are an export
//   GET  /audit/verify   whether the trail is whole
//   POST /forget         erases a person, or says what that would erase
//
// Reading the trail is recorded in it: it says who did what to which customer.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { type AuditHead, formatRecord } from '../backoffice/audit-record.ts'
import { AuditError, type AuditTrail } from '../backoffice/audit-trail.ts'
import { formatHead, parseHead } from '../backoffice/audit-verification.ts'
import { type Forgetting, ForgettingError } from '../backoffice/forgetting.ts'
import { mentions } from '../backoffice/person.ts'
import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import { type HttpEnv, tellTime } from './access.ts'
import { ApiError } from './api-error.ts'
import { instantBody, quote, readJson } from './json-body.ts'
import type { RouteModule } from './server.ts'

export interface AuditApiOptions {
  readonly trail: AuditTrail
  readonly forgetting: Forgetting
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
  /** Ends what is still being asked of the partner. */
  readonly signal: AbortSignal
}

const parameterNames = ['from', 'to', 'action', 'user']
const pieceCharacters = 64 * 1024

export function auditApi({ trail, forgetting, clock, logger, signal }: AuditApiOptions): RouteModule {
  const app = new Hono<HttpEnv>()
  app.use(tellTime(clock))
  app.onError((error, context) => {
    if (error instanceof ApiError) return context.json({ error: error.message }, error.status)
    if (error instanceof AuditError) return context.json({ error: error.message }, 503)
    logger.error({ error, path: context.req.path }, 'A request failed')
    if (error instanceof ForgettingError) return context.json({ error: error.message }, 500)
    return context.json({ error: 'internal error' }, 500)
  })

  app.get('/audit', async (context) => {
    const query = parseQuery(new URL(context.req.url).searchParams)
    const { user, ...filters } = query
    const isExport = Object.keys(query).length === 0
    await trail.record({
      actor: context.get('actor'),
      action: isExport ? 'audit.export' : 'audit.read',
      result: 'ok',
      target: user === undefined ? {} : { user },
      detail: filters,
    })
    const { from, to, action } = query
    const records = trail.records({
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...(action === undefined ? {} : { action }),
      ...(user === undefined
        ? {}
        : { matches: ({ about }) => mentions([about?.target, about?.detail], [user]) }),
    })
    return sendLines(context, records, formatRecord)
  })

  app.get('/audit/verify', async (context) => {
    const { head, ...verdict } = await trail.verify(parseExpected(context.req.query('expect')))
    return context.json({ ...verdict, head: formatHead(head) })
  })

  app.post('/forget', async (context) => {
    const { user, dry_run: isDryRun } = await readJson(context, forgetBody)
    const ending = AbortSignal.any([signal, context.req.raw.signal])
    const report = isDryRun
      ? await forgetting.preview(user, ending)
      : // Once begun it goes on to its end, whether or not somebody waits for the answer.
        await forgetting.forget(user, context.get('actor'), signal)
    return context.json(report)
  })

  return (server) => void server.route('/api/v1', app)
}

const forgetBody = z.strictObject({
  user: z.string().regex(/^[^\s\p{Cc}]{1,128}$/u, 'expected the id of a user, as the partner has it'),
  dry_run: z.boolean().default(false),
})

interface Query {
  readonly from?: number
  readonly to?: number
  readonly action?: string
  readonly user?: string
}

function parseQuery(parameters: URLSearchParams): Query {
  for (const name of parameters.keys()) {
    if (!parameterNames.includes(name)) {
      throw new ApiError(400, `unknown parameter ${quote(name)}: there are ${parameterNames.join(', ')}`)
    }
    if (parameters.getAll(name).length > 1) throw new ApiError(400, `${name}: expected once`)
  }
  const [from, to] = ['from', 'to'].map((name) => parseInstant(name, parameters.get(name)))
  const [action, user] = ['action', 'user'].map((name) => parameters.get(name) ?? undefined)
  return {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(action === undefined ? {} : { action }),
    ...(user === undefined ? {} : { user }),
  }
}

function parseInstant(name: string, text: string | null): number | undefined {
  if (text === null) return undefined
  const parsed = instantBody.safeParse(text)
  if (parsed.success) return parsed.data
  throw new ApiError(400, `${name}: ${parsed.error.issues[0]?.message ?? 'expected an instant'}`)
}

function parseExpected(text: string | undefined): AuditHead | null {
  if (text === undefined) return null
  const head = parseHead(text)
  if (head === null)
    throw new ApiError(400, `expect: expected SEQ:HASH, as the log has it, not ${quote(text)}`)
  return head
}

/** One line for each, written while they are read: a trail of years is never whole in memory. */
function sendLines<Item>(
  context: Context,
  items: AsyncIterator<Item>,
  format: (item: Item) => string,
): Response {
  const encoder = new TextEncoder()
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await nextTurn()
      let text = ''
      while (text.length < pieceCharacters) {
        const { done, value } = await items.next()
        if (done === true) {
          if (text !== '') controller.enqueue(encoder.encode(text))
          return controller.close()
        }
        text += `${format(value)}\n`
      }
      controller.enqueue(encoder.encode(text))
    },
    async cancel() {
      await items.return?.()
    },
  })
  return context.body(stream, 200, { 'Content-Type': 'application/x-ndjson' })
}
