// Who may do what, in one table: every endpoint and every command, with the role that it needs.
// access.ts decides from it alone, so a route that has no row here does not exist; `--help` shows it, and
// docs/access.md holds the same for people.

import { type Role, roles } from '../actor.ts'

/**
 * `public`: nobody is asked who they are. `link`: who holds a link of ours may; whether it is valid is for
 * its page to say.
 */
export type Needs = 'public' | 'link' | Role

/** Method, and path as the router has it; GET includes HEAD, and ALL is whatever has no row of its own. */
type EndpointName = `${'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'ALL'} /${string}`

export interface Endpoint {
  readonly name: string
  readonly needs: Needs
  readonly purpose: string
}

const endpointRows = {
  'GET /metrics': ['public', 'metrics, for Prometheus; `http.access.metrics: viewer` asks who reads them'],
  'GET /-/healthy': ['public', 'whether the process is alive'],
  'GET /-/ready': ['public', 'whether it has begun to work'],
  'POST /-/reload': ['admin', 'reads configuration and rules anew'],
  'PUT /-/reload': ['admin', 'the same'],

  'GET /': ['viewer', 'the page: what fires'],
  'GET /alerts/:fingerprint': ['viewer', 'one alert and its story'],
  'GET /alerts/:fingerprint/explain': ['viewer', "why it does or doesn't alert"],
  'GET /alerts/:fingerprint/acknowledge': ['operator', 'the form that acknowledges it'],
  'POST /alerts/:fingerprint/acknowledge': ['operator', 'acknowledges it'],
  'POST /alerts/:fingerprint/withdraw': ['operator', 'takes that back'],
  'POST /alerts/:fingerprint/link': ['operator', 'shows the link that resolves it'],
  'GET /silences': ['viewer', 'silences'],
  'GET /silences/new': ['operator', 'the form for a new one'],
  'POST /silences/preview': ['operator', 'what it would match; changes nothing'],
  'POST /silences': ['operator', 'sets it'],
  'GET /silences/:id/extend': ['operator', 'the form that changes its end'],
  'POST /silences/:id/extend': ['operator', 'changes its end'],
  'POST /silences/:id/expire': ['operator', 'ends it'],
  'GET /walks': ['viewer', 'the last walks, and what could not be read'],
  'GET /rules': ['viewer', 'rules, how they are and how often they fire'],
  'GET /receivers': ['viewer', 'receivers and their last result'],
  'GET /assets/:name': ['public', 'the style sheet of the pages'],

  'GET /r/:token': ['link', 'what is wrong with a device, and a button'],
  'POST /r/:token': ['link', 'the button: on to the page that resolves it'],
  'GET /r/:token/back': ['link', 'back from there'],
  'GET /r/:token/progress': ['link', 'how far it is since then'],
  'GET /r/:token/cancelled': ['link', 'back from there without having done it'],
  'GET /r/:token/unsubscribe': ['link', 'asks whether to send no more mails'],
  'POST /r/:token/unsubscribe': ['link', 'sends no more mails'],
  'ALL /r/*': ['link', 'nothing: one answer for all that is no link'],

  'GET /api/v1/alerts': ['viewer', 'alerts with their state, pending ones too'],
  'POST /api/v1/alerts/:fingerprint/acknowledgement': ['operator', 'acknowledges an alert'],
  'DELETE /api/v1/alerts/:fingerprint/acknowledgement': ['operator', 'takes that back'],
  'DELETE /api/v1/alerts/:fingerprint/link': ['operator', 'its links lead nowhere from then on'],
  'POST /api/v1/silences/preview': ['viewer', 'what a silence would match; changes nothing'],
  'GET /api/v1/explain/:id': ['viewer', "why something alerts or doesn't"],
  'GET /api/v1/users': ['operator', 'users, as the partner has them'],
  'POST /api/v1/users': ['admin', 'creates one'],
  'GET /api/v1/users/by-external-id/:externalId': ['operator', 'one, by the id of the customer'],
  'GET /api/v1/users/by-external-id/:externalId/ticket': [
    'operator',
    'the same, as a summary without personal data',
  ],
  'GET /api/v1/users/:id': ['operator', 'one, with devices, alerts and contracts'],
  'GET /api/v1/users/:id/ticket': ['operator', 'a summary without personal data'],
  'PATCH /api/v1/users/:id': ['admin', 'changes one'],
  'GET /api/v1/users/:id/archive': ['admin', 'what archiving would do'],
  'POST /api/v1/users/:id/archive': ['admin', 'archives one'],
  'GET /api/v1/migration': ['operator', 'how many are at which step of a migration'],
  'GET /api/v1/migration/users': ['operator', 'who is'],
  'POST /api/v1/migration/users': ['admin', 'takes users of a plan in'],
  'POST /api/v1/migration/users/:externalId/advance': ['admin', 'takes one of them on'],
  'DELETE /api/v1/migration/users/:externalId': ['admin', 'forgets one of them'],
  'GET /api/v1/audit': ['admin', 'records of the audit trail; reading them is recorded'],
  'GET /api/v1/audit/verify': ['admin', 'whether the trail is whole'],
  'POST /api/v1/forget': ['admin', 'erases a customer from what is held, or says what that would erase'],

  'GET /api/v2/status': ['viewer', 'version and configuration of alerting, secrets masked'],
  'GET /api/v2/receivers': ['viewer', 'names of the receivers'],
  'GET /api/v2/alerts': ['viewer', 'alerts that fire'],
  'GET /api/v2/alerts/groups': ['viewer', 'the same, as they are told'],
  'POST /api/v2/alerts': ['operator', 'always refused: alerts of others belong to an Alertmanager'],
  'GET /api/v2/silences': ['viewer', 'silences'],
  'POST /api/v2/silences': ['operator', 'sets or changes a silence'],
  'GET /api/v2/silence/:id': ['viewer', 'one silence'],
  'DELETE /api/v2/silence/:id': ['operator', 'ends it'],
} as const satisfies Record<EndpointName, readonly [Needs, string]>

export const endpoints: readonly Endpoint[] = Object.entries(endpointRows).map(
  ([name, [needs, purpose]]) => ({
    ...{ name, needs, purpose },
  }),
)

const byName = new Map(endpoints.map((endpoint) => [endpoint.name, endpoint]))

/** `method`: in capitals, GET for HEAD. */
export function findEndpoint(method: string, path: string): Endpoint | undefined {
  return byName.get(`${method} ${path}`)
}

/** What each command asks of the service. Those that ask nothing work on files, and need no role. */
const commandRows = {
  run: [],
  demo: [],
  poll: [],
  check: [],
  'test-rules': [],
  'notify-test': [],
  schema: [],
  simulate: [],
  'token create': [],
  'storage copy': [],
  'alerts list': ['GET /api/v1/alerts'],
  'alerts ack': ['POST /api/v1/alerts/:fingerprint/acknowledgement'],
  'alerts unack': ['DELETE /api/v1/alerts/:fingerprint/acknowledgement'],
  'alerts revoke-link': ['DELETE /api/v1/alerts/:fingerprint/link'],
  explain: ['GET /api/v1/explain/:id'],
  'silence add': ['POST /api/v1/silences/preview', 'POST /api/v2/silences'],
  'silence list': ['GET /api/v2/silences'],
  'silence expire': ['DELETE /api/v2/silence/:id'],
  'audit list': ['GET /api/v1/audit'],
  'audit export': ['GET /api/v1/audit'],
  'audit verify': ['GET /api/v1/audit/verify'],
  forget: ['POST /api/v1/forget'],
  'users list': ['GET /api/v1/users'],
  'users show': ['GET /api/v1/users/:id', 'GET /api/v1/users/:id/ticket'],
  'users create': ['POST /api/v1/users'],
  'users update': ['GET /api/v1/users/:id', 'PATCH /api/v1/users/:id'],
  'users archive': ['GET /api/v1/users/:id/archive', 'POST /api/v1/users/:id/archive'],
  // With --apply it asks for what creates, changes and archives, too.
  'users reconcile': ['GET /api/v1/users'],
  'users migrate': ['POST /api/v1/migration/users', 'POST /api/v1/migration/users/:externalId/advance'],
} as const satisfies Record<string, readonly (keyof typeof endpointRows)[]>

export interface CommandPermission {
  readonly command: string
  /** The highest role of what it asks; null: it asks nothing. */
  readonly needs: Role | null
}

export const commands: readonly CommandPermission[] = Object.entries(commandRows).map(([command, calls]) => {
  const needed = calls.map((name) => roles.indexOf(endpointRows[name][0]))
  return { command, needs: roles[Math.max(-1, ...needed)] ?? null }
})

export function roleOfCommand(command: string): Role | null {
  return commands.find((row) => row.command === command)?.needs ?? null
}
