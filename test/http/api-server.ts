// The API over a real socket, before alerts in memory.

import type { Clock } from '../../src/clock.ts'
import type { AccessConfig } from '../../src/config.ts'
import { type Access, type AccessEvents, type AccessOptions, createAccess } from '../../src/http/access.ts'
import { apiV1, reloadRoute } from '../../src/http/api-v1.ts'
import { apiV2 } from '../../src/http/api-v2.ts'
import { type HttpServer, type RouteModule, startHttpServer, type Timeouts } from '../../src/http/server.ts'
import { type LogFields, silentLogger } from '../../src/logger.ts'
import { createFakeAlerting, type FakeAlerting } from './fake-alerting.ts'

export interface ApiServer {
  readonly url: string
  readonly alerting: FakeAlerting
  readonly errors: LogFields[]
  readonly access: Access
  close(): Promise<void>
}

export interface ApiServerOptions {
  readonly access?: AccessConfig | null
  readonly publicUrl?: string | null
  readonly events?: AccessEvents
  readonly host?: string
  readonly timeouts?: Partial<Timeouts>
  /** Besides those of the API. */
  readonly routes?: readonly RouteModule[]
  readonly routesOf?: (alerting: FakeAlerting) => readonly RouteModule[]
  readonly refusalPage?: NonNullable<AccessOptions['refusalPage']>
}

export async function startApiServer(
  clock: Clock,
  {
    access: config = null,
    publicUrl = null,
    events,
    host = '127.0.0.1',
    routes = [],
    routesOf = () => [],
    refusalPage,
    timeouts = {},
  }: ApiServerOptions = {},
): Promise<ApiServer> {
  const errors: LogFields[] = []
  const logger = { ...silentLogger, error: (fields: LogFields) => void errors.push(fields) }
  const alerting = createFakeAlerting({ now: clock.now })
  const options = { api: alerting, clock, logger }
  const access = createAccess({
    ...{ config, publicUrl, host, clock },
    ...(events === undefined ? {} : { events }),
    ...(refusalPage === undefined ? {} : { refusalPage }),
  })
  const server: HttpServer = await startHttpServer({
    host,
    access,
    timeouts,
    port: 0,
    metrics: { render: async () => ({ contentType: 'text/plain', body: '' }) },
    health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
    routes: [apiV2(options), apiV1(options), reloadRoute(options), ...routes, ...routesOf(alerting)],
    clock,
    logger,
  })
  return { url: server.url, access, alerting, errors, close: () => server.close() }
}
