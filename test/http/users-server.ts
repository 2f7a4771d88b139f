// The users API over a real socket, before a simulated partner.

import { matchedRoutes } from 'hono/route'
import { onTestFinished } from 'vitest'
import { type Actor, mayDo } from '../../src/actor.ts'
import type { Access } from '../../src/http/access.ts'
import { findEndpoint } from '../../src/http/permissions.ts'
import type { RouteModule } from '../../src/http/server.ts'
import { startHttpServer } from '../../src/http/server.ts'
import { usersApi } from '../../src/http/users-api.ts'
import { type LogFields, silentLogger } from '../../src/logger.ts'
import { admin, type Office, openOffice } from '../backoffice/office.ts'
import { quickClock } from '../partner/local-server.ts'

export interface UsersServer extends Office {
  readonly url: string
  readonly errors: LogFields[]
  /** Whose requests they are from now on. */
  actAs(actor: Actor): void
}

export async function startUsersServer(
  options: Parameters<typeof openOffice>[0] = {},
  more: (office: Office) => Promise<readonly RouteModule[]> = async () => [],
): Promise<UsersServer> {
  const office = await openOffice(options)
  let actor = admin
  const errors: LogFields[] = []
  const logger = { ...silentLogger, error: (fields: LogFields) => void errors.push(fields) }
  const access: Access = {
    update: () => {},
    async guard(context, next) {
      const rows = matchedRoutes(context).map(({ path }) => findEndpoint(context.req.method, path))
      const needs = rows.find((row) => row !== undefined)?.needs
      const isFree = needs === undefined || needs === 'public' || needs === 'link'
      if (!isFree && !mayDo(actor, needs)) {
        return context.json({ error: `this needs the role ${needs}` }, 403)
      }
      context.set('actor', actor)
      return await next()
    },
  }
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    metrics: { render: async () => ({ contentType: 'text/plain', body: '' }) },
    health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
    access,
    routes: [usersApi({ backOffice: office.office, clock: quickClock, logger }), ...(await more(office))],
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
