// Users on their way from another system. Errors are {"error": "…"}. What is told of a user is ids, counts and a step.
//
//   GET    /api/v1/migration                     operator   how many are at each step
//   GET    /api/v1/migration/users[?step=…]      operator   everybody, or those at these steps
//   POST   /api/v1/migration/users               admin      takes one on, by plan
//   POST   /api/v1/migration/users/ID/advance    admin      takes one on who was planned before
//   DELETE /api/v1/migration/users/ID            admin      forgets the state, and changes nothing at the partner
//
// ID is the external id. The links of onboarding sessions are in the answer that opens them and nowhere else.

import { Hono } from 'hono'
import { z } from 'zod'
import { type MigrationState, migrationSteps } from '../backoffice/migration.ts'
import type { Advance, Migrations } from '../backoffice/migrations.ts'
import { checkNewUser, invitationProblem } from '../backoffice/user-input.ts'
import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import { type HttpEnv, tellTime } from './access.ts'
import { parametersOf } from './alert-query.ts'
import { ApiError } from './api-error.ts'
import { quote, readJson } from './json-body.ts'
import { arrayPieces, sendJson } from './json-stream.ts'
import type { RouteModule } from './server.ts'
import { answerError } from './users-api.ts'

export interface MigrationApiOptions {
  readonly migrations: Migrations
  readonly clock: Clock
  readonly logger: Logger
}

export function migrationApi({ migrations, clock, logger }: MigrationApiOptions): RouteModule {
  const app = new Hono<HttpEnv>()
  app.use(tellTime(clock))
  app.onError((error, context) => answerError(error, context, logger))

  app.get('/', (context) => context.json({ steps: migrations.counts() }))

  app.get('/users', (context) => {
    const wanted = parametersOf(context.req.url).get('step') ?? []
    for (const step of wanted) {
      if (!migrationSteps.some((each) => each === step)) {
        throw new ApiError(400, `step: expected one of ${migrationSteps.join(', ')}, not ${quote(step)}`)
      }
    }
    return sendJson(
      context,
      arrayPieces(withSteps(migrations.all(), wanted), (state) => [JSON.stringify(stateJson(state))]),
    )
  })

  app.post('/users', async (context) => {
    const { user, external_user_id, old_user_id, expected, contract, language, price_zone, reopen } =
      await readJson(context, planBody)
    const checked = checkNewUser(user)
    if (!checked.ok) throw new ApiError(400, checked.problems.join('; '))
    const invitation = invitationProblem(checked.fields, false)
    if (invitation !== null) throw new ApiError(400, 'role: only customers are moved over')
    const plan = {
      externalId: external_user_id,
      oldUserId: old_user_id,
      expected,
      needsContract: contract,
      language,
      priceZone: price_zone,
      user: checked.fields,
    }
    return context.json(advanceJson(await migrations.start(plan, { reopen }, context.get('actor'))))
  })

  app.post('/users/:externalId/advance', async (context) => {
    const { reopen } = await readJson(context, advanceBody)
    const advanced = await migrations.advance(
      context.req.param('externalId'),
      { reopen },
      context.get('actor'),
    )
    if (advanced === null) throw new ApiError(404, 'nobody with this external id is moved over')
    return context.json(advanceJson(advanced))
  })

  app.delete('/users/:externalId', async (context) => {
    const wasThere = await migrations.forget(context.req.param('externalId'), context.get('actor'))
    if (!wasThere) throw new ApiError(404, 'nobody with this external id is moved over')
    return context.body(null, 204)
  })

  return (server) => void server.route('/api/v1/migration', app)
}

const mostDevices = 100
const count = z.int().min(0).max(mostDevices).default(0)
// What stands in URLs of the partner.
const userId = z.string().regex(/^(?!\.\.?$)[\w.:@+=~-]{1,128}$/, "expected a user's id at the partner")
const planBody = z.object({
  external_user_id: z.string().trim().min(1, 'expected the id in the old system').max(200),
  user: z.unknown(),
  expected: z
    .object({ heat_pump: count, electric_vehicle: count, inverter: count, wallbox: count })
    .default({ heat_pump: 0, electric_vehicle: 0, inverter: 0, wallbox: 0 }),
  contract: z.boolean().default(false),
  language: z
    .string()
    .regex(/^[a-z]{2}(?:-[A-Z]{2})?$/, 'expected a language such as de or en')
    .default('en'),
  price_zone: z.string().max(20).nullable().default(null),
  old_user_id: userId.nullable().default(null),
  reopen: z.boolean().default(false),
})
const advanceBody = z.object({ reopen: z.boolean().default(false) })

function* withSteps(states: Iterable<MigrationState>, wanted: readonly string[]): Generator<MigrationState> {
  for (const state of states) if (wanted.length === 0 || wanted.includes(state.step)) yield state
}

function advanceJson({ state, links }: Advance) {
  return {
    state: stateJson(state),
    links: links.map(({ deviceType, url, expiresAt }) => ({
      device_type: deviceType,
      url: url.reveal(),
      expires_at: iso(expiresAt),
    })),
  }
}

function stateJson({
  externalId,
  userId,
  oldUserId,
  step,
  since,
  problem,
  expected,
  sessions,
}: MigrationState) {
  return {
    external_user_id: externalId,
    user_id: userId,
    old_user_id: oldUserId,
    step,
    since: new Date(since).toISOString(),
    problem,
    expected,
    sessions: sessions.map(({ deviceType, openedAt, expiresAt }) => ({
      device_type: deviceType,
      opened_at: new Date(openedAt).toISOString(),
      expires_at: iso(expiresAt),
    })),
  }
}

function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
