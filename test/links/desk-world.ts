// A partner that says what a test wants, and durable links over it with everything real between: sockets,
// client, rules, alerts, database. Time stands still until a test marches it; sockets live in real time.

import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AuditEntry } from '../../src/actor.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import { createEvaluator, type DeviceSubject, type Evaluator } from '../../src/alerts/evaluation.ts'
import type { Flapping } from '../../src/alerts/flapping.ts'
import type { LinksConfig } from '../../src/config.ts'
import type { User } from '../../src/fleet/user.ts'
import { type DurableLinks, openDurableLinks } from '../../src/links/durable-links.ts'
import type { LinkVisit } from '../../src/links/link-desk.ts'
import type { LinkStage } from '../../src/links/open-link-desk.ts'
import { decodeUser } from '../../src/partner/decode.ts'
import { readWatchedDevice } from '../../src/poller/recheck.ts'
import { loadAndLintRules } from '../../src/rules/rule-file.ts'
import { Secret } from '../../src/secret.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { clientTo, json, type LocalServer, quickClock, serve } from '../partner/local-server.ts'
import { heatPump, inverter, user as userSample } from '../partner/sample.ts'

export const publicUrl = 'https://fleet.example.com'
export const key = new Secret('0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b')
export const otherKey = new Secret('ffeeddccbbaa99887766554433221100')
/** What only a minted URL holds: looked for where it must not be. */
export const mintedSecret = 'minted-secret-8Yq2Lw'

const rules = `
groups:
  - name: links
    rules:
      - alert: DeviceUnauthenticated
        expr: "!device.is_authenticated"
        keep_firing_for: 10m
        labels: {severity: warning}
      - alert: DeviceActionPending
        expr: size(device.actions) > 0
        keep_firing_for: 10m
        labels: {severity: info}
`

export interface Partner extends LocalServer {
  /** Fields of the one device; null: the partner does not know it. */
  device: Record<string, unknown> | null
  /** In the place of any answer. */
  failing: number | null
  /** Where a call or a session leads. */
  redirect: string
  /** Holds back every answer until it resolves. */
  gate: Promise<unknown>
  /** Bodies of calls and sessions. */
  readonly bodies: unknown[]
  reads(): number
  mints(): number
}

export interface DeskWorld {
  readonly clock: ManualClock
  readonly partner: Partner
  readonly folder: string
  readonly audit: AuditEntry[]
  readonly visits: string[]
  readonly minted: string[]
  readonly refusedHosts: string[]
  readonly unknownParameters: string[]
  readonly faults: unknown[]
  readonly subject: DeviceSubject
  /** In the place of `audit`, when a test sets it. */
  recordAudit: ((entry: AuditEntry) => Promise<void>) | null
  /** Records of links cannot be saved; alerts can. */
  isStoreFull: boolean
  links: DurableLinks
  book: AlertBook
  /** Reads the device as a walk does; the alert as it is then. */
  walk(): Promise<Alert | undefined>
  /** The token of the link that a message about this alert carries; fails when there is none. */
  token(alertname?: string): Promise<string>
  linkOf(alertname?: string): Promise<string | null>
  alert(alertname?: string): Alert | undefined
  /** Ends it and begins again with what is stored; `config` over what was. */
  restart(config?: Partial<LinksConfig>): Promise<void>
}

export const visit: LinkVisit = {
  actor: { kind: 'link', name: '', role: null, from: '192.0.2.7' },
  language: 'de',
}

export const linksConfig: LinksConfig = {
  signingKeys: [key],
  successUrl: 'https://portal.example.com/thanks',
  lifetimeMs: 30 * 86_400_000,
  revokeAfterMs: 86_400_000,
  allowedHosts: ['*.podero.com'],
  requestsPerMinute: { perLink: 6, total: 120 },
}

export const lost = (link: unknown = `https://app.podero.com/login?secret=${mintedSecret}`) => ({
  ...heatPump,
  is_authenticated: false,
  actions: [{ code: 'reauthenticate', resolution_link: link }],
})
export const callable = (url: string, required: readonly string[] = ['successUrl', 'cancelUrl']) => ({
  url: `${url}/api/partners/v2.0/cues/7/resolve?secret=${mintedSecret}`,
  required_parameters: required,
})

export async function startPartner(): Promise<Partner> {
  const bodies: unknown[] = []
  const state = {
    device: lost() as Record<string, unknown> | null,
    failing: null as number | null,
    redirect: `https://app.podero.com/session?secret=${mintedSecret}`,
    gate: Promise.resolve() as Promise<unknown>,
    bodies,
  }
  const server = await serve(async (request, response, body) => {
    await state.gate
    if (state.failing !== null) return json(response, { detail: 'no' }, state.failing)
    if (request.method === 'POST') {
      bodies.push(JSON.parse(body))
      return json(response, { redirect_url: state.redirect, authentication_url: state.redirect })
    }
    return state.device === null
      ? json(response, { detail: 'Not found.' }, 404)
      : json(response, state.device)
  })
  const count = (method: string) => () => server.requests.filter((one) => one.startsWith(method)).length
  return Object.assign(state, server, { reads: count('GET'), mints: count('POST') })
}

export async function startDeskWorld(
  options: {
    readonly config?: Partial<LinksConfig>
    readonly type?: 'heat_pump' | 'inverter'
    readonly flapping?: Flapping
  } = {},
): Promise<DeskWorld> {
  const clock = createManualClock(Date.UTC(2026, 10, 27, 12))
  const folder = await mkdtemp(join(tmpdir(), 'fleetwarden-links-'))
  const partner = await startPartner()
  // What is observed has the test's time; what waits for another try does so in the real one.
  const client = clientTo(partner.url, {
    clock: { ...quickClock, now: clock.now, monotonic: clock.monotonic },
  })
  const decoded = decodeUser(userSample, () => {})
  const user = decoded as User
  const deviceType = options.type ?? 'heat_pump'
  const deviceId = deviceType === 'inverter' ? inverter.id : heatPump.id
  const subject: DeviceSubject = { kind: 'device', userId: user.id, deviceType, deviceId }
  let config: LinksConfig = { ...linksConfig, ...options.config }
  let evaluator: Evaluator
  let close: () => Promise<void> = async () => {}

  async function open(): Promise<void> {
    const storage = await openSqlite({ path: join(folder, 'links.db') })
    const book = await openAlertBook(storage, { downMs: 0, flapping: options.flapping ?? null })
    const links = await openDurableLinks({
      config: {
        http: { host: '127.0.0.1', port: 0, publicUrl },
        links: config,
        partner: { baseUrl: partner.url } as never,
      },
      client,
      store: {
        loadLinks: storage.loadLinks,
        saveLinks: async (changes) => {
          if (world.isStoreFull) throw new Error('the disk is full')
          await storage.saveLinks(changes)
        },
      },
      book,
      clock,
      readDevice: (device, signal) => readWatchedDevice({ ...device, client, signal }),
      evaluate: async (_, read) => {
        if (read.kind === 'read') evaluator.device(user, read.reading)
        await book.commit()
      },
      record: async (entry) => {
        if (world.recordAudit !== null) await world.recordAudit(entry)
        world.audit.push(entry)
      },
      events: {
        onGiven: () => {},
        onVisit: (stage: LinkStage, manufacturer) => void world.visits.push(`${stage} ${manufacturer}`),
        onMinted: (result) => void world.minted.push(result),
        onRefusedHost: (host) => void world.refusedHosts.push(host),
        onMintFailure: (error) => void world.faults.push(error),
        onNoLink: (error) => void world.faults.push(error),
        onNothingToOpen: ({ unknownParameters }) => void world.unknownParameters.push(...unknownParameters),
        onLinkFault: (error) => void world.faults.push(error),
      },
    })
    const loaded = loadAndLintRules([{ file: 'rules.yaml', text: rules }])
    evaluator = createEvaluator({
      ...{ rules: loaded.rules, book, newEpisode: randomUUID, onUnknown: () => {} },
      returnedAt: links.returnedAt,
    })
    Object.assign(world, { links, book })
    close = async () => {
      await links.close()
      await storage.close()
    }
  }

  const world = {
    ...{ clock, partner, folder, subject, audit: [], visits: [], minted: [], refusedHosts: [], faults: [] },
    unknownParameters: [],
    recordAudit: null,
    isStoreFull: false,
    async walk() {
      const read = await readWatchedDevice({ ...subject, client, signal: new AbortController().signal })
      if (read.kind === 'read') evaluator.device(user, read.reading)
      await world.book.commit()
      return world.alert()
    },
    alert: (alertname = 'DeviceUnauthenticated') =>
      [...world.book.all()].find(({ labels }) => labels['alertname'] === alertname),
    async linkOf(alertname = 'DeviceUnauthenticated') {
      const alert = world.alert(alertname)
      if (alert === undefined) throw new Error(`no ${alertname}`)
      return (await world.links.linkFor(alert, new AbortController().signal))?.url ?? null
    },
    async token(alertname = 'DeviceUnauthenticated') {
      const url = (await world.linkOf(alertname)) ?? 'none'
      const [, token] = /^https:\/\/fleet\.example\.com\/r\/([\w.-]+)$/.exec(url) ?? []
      if (token === undefined) throw new Error(`no link: ${url}`)
      return token
    },
    async restart(change: Partial<LinksConfig> = {}) {
      await close()
      config = { ...config, ...change }
      await open()
    },
  } as unknown as DeskWorld
  await open()
  onTestFinished(async () => {
    await close()
    await rm(folder, { recursive: true, force: true })
  })
  return world
}
