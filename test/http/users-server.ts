// The users API over a real socket, before a simulated partner.

import type { MiddlewareHandler } from 'hono'
import { onTestFinished } from 'vitest'
import type { Actor } from '../../src/actor.ts'
import type { HttpEnv } from '../../src/http/access.ts'
import type { RouteModule } from '../../src/http/server.ts'
import { startHttpServer } from '../../src/http/server.ts'
import { usersApi } from '../../src/http/users-api.ts'
import { type LogFields, silentLogger } from '../../src/logger.ts'
import { admin, type Office, openOffice } from '../backoffice/office.ts'
import { quickClock } from '../partner/local-server.ts'

type Identify = MiddlewareHandler<HttpEnv>

export interface UsersServer extends Office {
  readonly url: string
  readonly errors: LogFields[]
  /** Whose requests they are from now on. */
  actAs(actor: Actor): void
}

export async function startUsersServer(
  options: Parameters<typeof openOffice>[0] = {},
  more: (office: Office, identify: Identify) => Promise<readonly RouteModule[]> = async () => [],
): Promise<UsersServer> {
  const office = await openOffice(options)
  let actor = admin
  const errors: LogFields[] = []
  const logger = { ...silentLogger, error: (fields: LogFields) => void errors.push(fields) }
  const identify: Identify = async (context, next) => {
    context.set('actor', actor)
    await next()
  }
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    metrics: { render: async () => ({ contentType: 'text/plain', body: '' }) },
    health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
    routes: [
      usersApi({ backOffice: office.office, clock: quickClock, logger, identify }),
      ...(await more(office, identify)),
    ],
    clock: quickClock,
    logger,
  })
  onTestFinished(() => server.close())
  return {
    ...office,
    url: server.url,
    errors,
    actAs: (other) => {
      actor = other
    },
  }
}
