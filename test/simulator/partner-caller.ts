import { type Dispatcher, request } from 'undici'
import { defaultClientId, defaultClientSecret, type Simulator } from '../../src/simulator/server.ts'

export interface Reply {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: what a test expects of an answer is the test's to say
  readonly body: any
}

export interface Caller {
  readonly token: string
  /** Calls below the API base with the bearer token; `path` may also be a whole URL. */
  call(
    path: string,
    options?: { method?: Dispatcher.HttpMethod; body?: unknown; token?: string | null },
  ): Promise<Reply>
  /** As `call`, below the organization's users. */
  users(path?: string, options?: { method?: Dispatcher.HttpMethod; body?: unknown }): Promise<Reply>
}

export async function fetched(
  url: string,
  options: { method?: Dispatcher.HttpMethod; headers?: Record<string, string>; body?: string } = {},
): Promise<Reply> {
  const { statusCode: status, headers, body } = await request(url, options)
  const text = await body.text()
  const isJson = String(headers['content-type']).startsWith('application/json')
  return { status, headers, text, body: isJson ? jsonOrNull(text) : null }
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

export function askForToken(
  simulator: Simulator,
  { id = defaultClientId, secret = defaultClientSecret, body = '{"grant_type":"client_credentials"}' } = {},
): Promise<Reply> {
  const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
  const headers = { authorization, 'content-type': 'application/json' }
  return fetched(`${simulator.origin}/oauth2/token/`, { method: 'POST', headers, body })
}

/** A partner that has asked for a token. */
export async function createCaller(simulator: Simulator): Promise<Caller> {
  const { body } = await askForToken(simulator)
  const issued: string = body.access_token
  const call: Caller['call'] = (path, { method = 'GET', body: sent, token = issued } = {}) =>
    fetched(path.startsWith('http') ? path : `${simulator.url}${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
    })
  return {
    token: issued,
    call,
    users: (path = '', options = {}) => call(`/org/${simulator.organizationId}/users${path}`, options),
  }
}

export const devicePaths = {
  heat_pump: 'heat-pumps',
  electric_vehicle: 'electric-vehicles',
  inverter: 'inverters',
  wallbox: 'wallboxes',
} as const
