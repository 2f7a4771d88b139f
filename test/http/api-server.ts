// The API over a real socket, before alerts in memory.

import type { Clock } from '../../src/clock.ts'
import { apiV1, reloadRoute } from '../../src/http/api-v1.ts'
import { apiV2 } from '../../src/http/api-v2.ts'
import { type HttpServer, startHttpServer } from '../../src/http/server.ts'
import { type LogFields, silentLogger } from '../../src/logger.ts'
import { createFakeAlerting, type FakeAlerting } from './fake-alerting.ts'

export interface ApiServer {
  readonly url: string
  readonly alerting: FakeAlerting
  readonly errors: LogFields[]
  close(): Promise<void>
}

export async function startApiServer(clock: Clock): Promise<ApiServer> {
  const errors: LogFields[] = []
  const logger = { ...silentLogger, error: (fields: LogFields) => void errors.push(fields) }
  const alerting = createFakeAlerting({ now: clock.now })
  const options = { api: alerting, clock, logger }
  const server: HttpServer = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    metrics: { render: async () => ({ contentType: 'text/plain', body: '' }) },
    health: { healthy: () => true, ready: () => ({ ready: true, reasons: [] }) },
    routes: [apiV2(options), apiV1(options), reloadRoute(options)],
    clock,
    logger,
  })
  return { url: server.url, alerting, errors, close: () => server.close() }
}
