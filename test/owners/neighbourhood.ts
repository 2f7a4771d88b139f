// A few owners with a few devices, a clock that stands still, and everything that writes to them, put together
// as the service does it, but for the partner and the mail server: what these say is the test's to choose.

import type { Actor, AuditEntry } from '../../src/actor.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import { type AlertBook, openAlertBook } from '../../src/alerts/alert-book.ts'
import type { DeviceSubject } from '../../src/alerts/evaluation.ts'
import { fingerprint } from '../../src/alerts/fingerprint.ts'
import { nobody } from '../../src/alerts/labels.ts'
import { createRaise } from '../../src/alerts/raise.ts'
import type { OwnerConfig, Route } from '../../src/config.ts'
import type { DeviceType } from '../../src/fleet/device.ts'
import type { User } from '../../src/fleet/user.ts'
import { createLinkSigner, type LinkSigner } from '../../src/links/link-token.ts'
import { type ContactBook, openContactBook } from '../../src/owners/contact-book.ts'
import { type Correspondence, openCorrespondence } from '../../src/owners/correspondence.ts'
import { createHandover } from '../../src/owners/handover.ts'
import { openOutages } from '../../src/owners/outages.ts'
import type { Posting, PostOutcome } from '../../src/owners/owner-post.ts'
import { Secret } from '../../src/secret.ts'
import { createManualClock } from '../manual-clock.ts'
import { device, user as userOf } from '../rules/sample.ts'
import { createMemoryOwnerStore } from './memory-owner-store.ts'

/** Whoever has the mail. */
export const holder: Actor = { kind: 'link', name: '', role: null, from: '192.0.2.7' }
export const minute = 60_000
export const hour = 60 * minute
export const day = 24 * hour

export const company = { name: 'Stadtwerke', supportEmail: null, supportPhone: null, supportUrl: null }

export function ownerConfig(changes: Partial<OwnerConfig> = {}): OwnerConfig {
  return {
    from: 'Stadtwerke <service@stadtwerke.example>',
    smarthost: { host: '127.0.0.1', port: 25 },
    hello: null,
    username: null,
    password: null,
    requireTls: false,
    ca: null,
    serverName: null,
    everyMs: 7 * day,
    afterMs: hour,
    escalateAfterMs: 3 * day,
    quietHours: { start: 20 * 60, end: 8 * 60 },
    language: 'en',
    timeZone: 'UTC',
    company,
    ...changes,
  }
}

export interface Sent extends Posting {
  readonly now: number
}

export interface House {
  readonly user: User
  readonly devices: readonly {
    readonly id: string
    readonly type: DeviceType
    readonly manufacturer: string
  }[]
}

const route = { key: '{}', receiver: 'owners' } as Route
const ruleId = 'connection/DeviceUnauthenticated'
const episodeOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

export async function startNeighbourhood({
  startAt = Date.UTC(2026, 5, 1, 10),
  config = {},
  users = [{}],
  devicesEach = 2,
}: {
  startAt?: number
  config?: Partial<OwnerConfig>
  users?: readonly Partial<User>[]
  devicesEach?: number
} = {}) {
  const clock = createManualClock(startAt)
  const store = createMemoryOwnerStore()
  const types: readonly DeviceType[] = ['heat_pump', 'inverter', 'electric_vehicle']
  const houses: House[] = users.map((fields, n) => ({
    user: userOf({
      ...{
        id: `user-${n}`,
        role: 'user',
        email: `owner${n}@home.example`,
        country: 'AT',
        first_name: 'Anna',
      },
      ...fields,
    }),
    devices: Array.from({ length: devicesEach }, (_, d) => ({
      id: `device-${n}-${d}`,
      type: types[d % types.length]!,
      manufacturer: d % 2 === 0 ? 'Daikin' : 'Fronius',
    })),
  }))
  const signer: LinkSigner = createLinkSigner([new Secret('a key that is long enough for the test')])
  const sent: Sent[] = []
  const recorded: AuditEntry[] = []
  const log: string[] = []
  const broken = new Set<string>()
  const unread = new Set<string>()
  let episodes = 0
  let ids = 1_000_000

  const state = {
    ...{ clock, store, houses, sent, recorded, log, broken, unread, signer },
    /** What the mail server answers; it may also end the process, by throwing. */
    post: async (_: Posting): Promise<PostOutcome> => ({ kind: 'ok' }),
    held: false,
    /** Asked for at the partner, at the moment. */
    readUser: (userId: string): User | null | 'unread' =>
      houses.find(({ user }) => user.id === userId)?.user ?? null,
    onRecheck: async (_: DeviceSubject) => {},
    onLink: async () => {},
    config: ownerConfig(config),
  }

  let book: AlertBook
  let contacts: ContactBook
  let correspondence: Correspondence

  const receiversNow = () => [
    {
      receiver: 'owners',
      config: state.config,
      post: async (posting: Posting) => {
        sent.push({ ...posting, now: clock.now() })
        return state.post(posting)
      },
    },
  ]

  /** As after a start: everything but what is saved is gone. */
  async function restart(): Promise<void> {
    book = await openAlertBook(store, { downMs: 0 })
    contacts = await openContactBook({
      store,
      signer: () => signer,
      now: () => clock.now(),
      record: async (entry) => void recorded.push(entry),
      freshKey: 'fresh',
    })
    correspondence = await openCorrespondence({
      book,
      store,
      contacts,
      clock,
      handover: createHandover(
        book,
        createRaise(book, () => episodeOf(++ids)),
      ),
      outages: await openOutages(book, store),
      newId: () => episodeOf(++ids),
      isAllowed: (id) => id === ruleId,
      routesFor: () => [route],
      isHeld: () => state.held,
      receivers: receiversNow(),
      readUser: async (userId) => state.readUser(userId),
      async recheck(subject) {
        await state.onRecheck(subject)
        const isUnread = unread.has(subject.deviceId)
        await observe(subject)
        if (isUnread) return { kind: 'unread', reason: 'timeout', problem: 'timeout' }
        const { type, manufacturer } = deviceOf(subject.deviceId)
        return {
          kind: 'read',
          reading: {
            device: device({
              id: subject.deviceId,
              type,
              manufacturer,
              is_authenticated: !broken.has(subject.deviceId),
            }),
            observedAt: clock.now(),
          },
        }
      },
      async linkFor({ episode }) {
        await state.onLink()
        return `https://fleet.example.com/r/${episode}`
      },
      unsubscribeUrl: (token) => `https://fleet.example.com/r/${token}/unsubscribe`,
      events: {
        onSent: () => log.push('sent'),
        onFailure: (_, { reason, isFinal }) => log.push(`${isFinal ? 'refused' : 'retry'}: ${reason}`),
        onSkipped: (_, reason) => log.push(`skipped: ${reason}`),
        onHandedOver: (_, reason) => log.push(`staff: ${reason}`),
        onStorageError: () => log.push('not saved'),
        onFault: (error) => log.push(`fault: ${error}`),
      },
    })
  }

  function deviceOf(id: string) {
    const found = houses.flatMap(({ devices }) => devices).find((each) => each.id === id)
    if (found === undefined) throw new Error(`there is no ${id}`)
    return found
  }

  /** Evaluates one device, or what is unread of it, as a walk or a recheck does. */
  async function observe({ deviceId, deviceType, userId }: Omit<DeviceSubject, 'kind'>): Promise<void> {
    const { manufacturer } = deviceOf(deviceId)
    const labels = {
      ...{ alertname: 'DeviceUnauthenticated', severity: 'warning', device_type: deviceType },
      ...{ manufacturer, user_id: userId, device_id: deviceId },
    }
    const subject: DeviceSubject = { kind: 'device', userId, deviceType, deviceId }
    // A reading counts when it is newer than the last one.
    clock.jump(1)
    book.evaluate({
      ruleId,
      subject,
      evaluation: {
        at: clock.now(),
        verdict: unread.has(deviceId) ? 'poll_failed' : broken.has(deviceId),
        clear: null,
      },
      timing: { forMs: 0, keepFiringForMs: 10 * minute, noData: 'keep' },
      definition: 'v1',
      birth: () => ({
        ...{ ruleId, subject, labels, definition: 'v1', annotations: {}, affected: nobody },
        ...{ fingerprint: fingerprint(labels), episode: episodeOf(++episodes) },
      }),
    })
    await book.commit()
  }

  async function walk(): Promise<void> {
    for (const { user, devices } of houses) {
      for (const { id, type } of devices) await observe({ userId: user.id, deviceType: type, deviceId: id })
    }
  }

  /** An alert about a manufacturer's devices, or with null about the Partner API. */
  async function outage(manufacturer: string | null, isActive: boolean): Promise<void> {
    const labels: Record<string, string> =
      manufacturer === null
        ? { alertname: 'PartnerApiUnavailable', severity: 'critical' }
        : { alertname: 'ManufacturerOutage', severity: 'critical', manufacturer }
    const subject = { kind: 'fleet', group: manufacturer ?? 'service' } as const
    clock.jump(1)
    book.evaluate({
      ruleId: `fleet/${labels['alertname']}`,
      subject,
      evaluation: { at: clock.now(), verdict: isActive, clear: null },
      timing: { forMs: 0, keepFiringForMs: 0, noData: 'keep' },
      definition: 'v1',
      birth: () => ({
        ...{ ruleId: `fleet/${labels['alertname']}`, subject, labels, definition: 'v1' },
        ...{
          annotations: {},
          affected: nobody,
          fingerprint: fingerprint(labels),
          episode: episodeOf(++episodes),
        },
      }),
    })
    await book.commit()
  }

  /** Time passes, with walks and rounds as in the service. */
  async function pass(ms: number, step = 10 * minute): Promise<void> {
    const until = clock.now() + ms
    while (clock.now() < until) {
      clock.jump(Math.min(step, until - clock.now()))
      await walk()
      await correspondence.tend(new AbortController().signal)
    }
  }

  await restart()
  return Object.assign(state, {
    restart,
    walk,
    outage,
    pass,
    tend: (signal = new AbortController().signal) => correspondence.tend(signal),
    book: () => book,
    contacts: () => contacts,
    correspondence: () => correspondence,
    breakDown(...ids: string[]) {
      for (const id of ids) broken.add(id)
    },
    heal(...ids: string[]) {
      for (const id of ids) broken.delete(id)
    },
    /** Summaries of what staff was given and still has. */
    staffHas: () =>
      [...book.all()]
        .filter(({ labels, state: is }) => labels['alertname'] === 'OwnerDidNothing' && is !== 'resolved')
        .map(({ annotations }) => annotations['summary'] ?? ''),
    alertOf: (deviceId: string): Alert | undefined =>
      [...book.all()].find(
        ({ labels, state: is }) =>
          labels['device_id'] === deviceId && labels['alertname'] !== 'OwnerDidNothing' && is !== 'resolved',
      ),
    /** As whoever presses the button behind the link in a mail. */
    unsubscribe: (mail: Sent) => contacts.desk.unsubscribe(tokenIn(mail), holder),
  })
}

export function tokenIn({ mail }: Pick<Sent, 'mail'>): string {
  return /\/r\/([^/]+)\/unsubscribe$/.exec(mail.unsubscribeUrl)?.[1] ?? ''
}

export type Neighbourhood = Awaited<ReturnType<typeof startNeighbourhood>>
