// Which endpoint a request is for, and the ids in its path.

import type { DeviceType } from '../fleet/device.ts'

export const apiPath = '/api/partners/v2.0'

/** What is counted by, and the words for it. */
export type Endpoint =
  | 'token'
  | 'auth_me'
  | 'users'
  | 'user'
  | 'user_by_ext_id'
  | 'create_user'
  | 'update_user'
  | 'devices'
  | 'device'
  | 'update_device'
  | 'auth_session'
  | 'energy_contracts'
  | 'cue_resolve'
  | 'cue_information'
  | 'cue_state'
  | 'device_onboarding'
  | 'page'
  | 'unknown'

/** A request's target: the endpoint and the ids in its path (empty where there is none). */
export interface Route {
  readonly endpoint: Endpoint
  readonly organizationId: string
  readonly userId: string
  readonly type: DeviceType
  /** A device, a cue or an external id. */
  readonly id: string
}

const typeByPath: Readonly<Record<string, DeviceType>> = {
  'heat-pumps': 'heat_pump',
  'electric-vehicles': 'electric_vehicle',
  inverters: 'inverter',
  wallboxes: 'wallbox',
}

/** Never throws: what is no endpoint is the endpoint `unknown`. */
export function routeOf(method: string, path: string): Route {
  const found = (endpoint: Endpoint, rest: Partial<Route> = {}): Route => ({
    endpoint,
    organizationId: '',
    userId: '',
    type: 'heat_pump',
    id: '',
    ...rest,
  })
  if (path === '/oauth2/token/') return found(method === 'POST' ? 'token' : 'unknown')
  if (path.startsWith('/session/')) return found('page')
  if (!path.startsWith(`${apiPath}/`)) return found('unknown')
  const [area, a, b, c, d, e, f, ...more] = path.slice(apiPath.length + 1).split('/')
  if (more.length > 0) return found('unknown')
  if (area === 'org' && b === 'users' && a !== undefined) {
    return routeOfUsers(method, [c, d, e, f], (endpoint, rest = {}) =>
      found(endpoint, { organizationId: a, ...rest }),
    )
  }
  if (area === 'auth' && a === 'me' && b === undefined) return found(method === 'GET' ? 'auth_me' : 'unknown')
  if (method !== 'POST') return found('unknown')
  if (area === 'device-onboarding' && a === undefined) return found('device_onboarding')
  if (area === 'cues' && a !== undefined) {
    if (b === 'resolve' && c === undefined) return found('cue_resolve', { id: a })
    if (b === 'state' && c === undefined) return found('cue_state', { id: a })
    if (b === 'information' && c === 'resolve' && d === undefined) return found('cue_information', { id: a })
  }
  return found('unknown')
}

function routeOfUsers(
  method: string,
  [userId, part, id, call]: readonly (string | undefined)[],
  found: (endpoint: Endpoint, rest?: Partial<Route>) => Route,
): Route {
  if (userId === undefined) {
    return found(method === 'GET' ? 'users' : method === 'POST' ? 'create_user' : 'unknown')
  }
  if (part === undefined) {
    return found(method === 'GET' ? 'user' : method === 'PUT' ? 'update_user' : 'unknown', { userId })
  }
  if (userId === 'by-ext-id' && id === undefined) {
    return found(method === 'GET' ? 'user_by_ext_id' : 'unknown', { id: decoded(part) })
  }
  if (part === 'energy-contracts' && id === undefined) {
    return found(method === 'GET' ? 'energy_contracts' : 'unknown', { userId })
  }
  const type = typeByPath[part]
  if (type === undefined) return found('unknown')
  if (id === undefined) return found(method === 'GET' ? 'devices' : 'unknown', { userId, type })
  if (call === undefined) {
    return found(method === 'GET' ? 'device' : method === 'PUT' ? 'update_device' : 'unknown', {
      userId,
      type,
      id,
    })
  }
  return found(call === 'auth_session' && method === 'POST' ? 'auth_session' : 'unknown', {
    userId,
    type,
    id,
  })
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return ''
  }
}
