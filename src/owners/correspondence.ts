// Self-service: who is written to about which device, when, and when staff takes over. For each alert that
// its rule allows it for:
//
//   firing for `after` ──► letter ──► sent ──still firing after `escalate_after`──► staff
//        │  nothing holds it,   │  tried again while the mail server is away           ▲
//        │  not in quiet hours, └──refused─────────────────────────────────────────────┤
//        │  a mail is due       ▲                                                      │
//        └── no address, unsubscribed, no customer; or never possible in all this time ┘
//
// Whatever could speak against a mail is asked at the last moment: the user and each device are read anew, and
// a device that is well again is no longer written about. A letter is saved before each attempt and keeps
// its Message-ID: killed at any moment, it is sent once more at most.
//
// It never writes twice to an owner within `every`, nor in their quiet hours, nor after they ended it, nor
// while an outage is behind it or was a moment ago. It has a rhythm of its own, since a partner or a mail
// server that is slow must not hold up the service's tick.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { createAlarm } from '../alarm.ts'
import type { Alert } from '../alerts/alert.ts'
import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { WatchedReading } from '../poller/recheck.ts'
import type { HandoverReason } from './handover.ts'
import { createOwnerMail, type OwnerDevice } from './owner-mail.ts'
import { type OwnerPlace, ownerPlace } from './owner-place.ts'
import { ownerAddress } from './owner-post.ts'
import type { Letter, OwnerChanges } from './owner-store.ts'
import { createQuietHours } from './quiet-hours.ts'
import type { Correspondence, CorrespondenceOptions, OwnerReceiver, WaitReason } from './writing.ts'

export type * from './writing.ts'

/** An alert that an owner may be told of, and where it stands. */
interface Matter {
  readonly alert: Alert & { readonly subject: DeviceSubject }
  readonly to: OwnerReceiver
  readonly letter: Letter | undefined
  readonly wait: 'too_early' | 'held' | 'outage' | null
}

type Verdict =
  | { readonly kind: 'wait'; readonly reason: WaitReason; readonly until: number | null }
  | { readonly kind: 'hand over'; readonly reason: HandoverReason }

const roundMs = 60_000
const unreadyMs = 5_000
const unreadRetryMs = 10 * 60_000
const firstBackoffMs = 60_000
const longestBackoffMs = 3_600_000
/** A mail that is being sent when the service ends has so long to arrive, in real time. */
const graceMs = 5_000
// Between two turns of the event loop: most of them are looked at and nothing is due.
const ownersPerTurn = 200
// More than these in one home are not expected; the mail stays below what mail readers cut off.
const mostDevices = 20

export async function openCorrespondence(options: CorrespondenceOptions): Promise<Correspondence> {
  const { book, store, contacts, handover, outages, clock, events } = options
  let receivers = options.receivers
  const letters = new Map((await store.loadLetters()).map((letter) => [letter.id, letter]))
  const letterOfEpisode = new Map<string, Letter>()
  for (const letter of letters.values()) index(letter)
  /** Changed by what is done already, and not saved since the last write failed. */
  const unsaved = new Map<string, Letter>()
  /** Owners who are not looked at before a moment, as nothing can change until then. */
  const notBefore = new Map<string, { readonly at: number; readonly reason: WaitReason }>()
  /** What was last said about an episode, to say it once. */
  const lastSaid = new Map<string, WaitReason | HandoverReason>()
  /** By receiver: its mail server is left alone until then, after so many failures in a row. */
  const blocked = new Map<string, { readonly until: number; readonly failures: number }>()
  const quietHours = createQuietHours()
  const alarm = createAlarm(clock)
  let nextSweepAt = Number.NEGATIVE_INFINITY

  function index(letter: Letter): void {
    // What it is no longer about is told another time.
    for (const { episode } of letters.get(letter.id)?.about ?? []) letterOfEpisode.delete(episode)
    letters.set(letter.id, letter)
    for (const { episode } of letter.about) letterOfEpisode.set(episode, letter)
  }

  // ---- the round

  async function tend(signal: AbortSignal): Promise<void> {
    try {
      // Nobody is written to while what was done cannot be noted.
      await saveUnsaved()
      await outages.save(clock.now())
      await endLetters()
      await sweep()
      handover.tend(clock.now())
      for (const [number, userId] of ownersConcerned().entries()) {
        if (number % ownersPerTurn === 0) await nextTurn()
        if (signal.aborted) break
        await attend(userId, signal)
      }
      await book.commit()
    } catch (error) {
      if (!signal.aborted) events.onStorageError(error instanceof NotSaved ? error.cause : error)
    }
  }

  async function save(changes: OwnerChanges): Promise<void> {
    try {
      await store.saveOwners(changes)
    } catch (error) {
      throw new NotSaved('what is known of mail to owners could not be saved', { cause: error })
    }
  }

  async function saveUnsaved(): Promise<void> {
    if (unsaved.size === 0) return
    const saving = [...unsaved.values()]
    await save({ letters: saving })
    for (const letter of saving) if (unsaved.get(letter.id) === letter) unsaved.delete(letter.id)
  }

  /** A letter goes when none of what it is about is left. */
  async function endLetters(): Promise<void> {
    const ended = [...letters.values()].filter(
      ({ about }) => !about.some(({ alertKey, episode }) => isActive(alertKey, episode)),
    )
    if (ended.length === 0) return
    await save({ endedLetters: ended.map(({ id }) => id) })
    for (const letter of ended) removeFromMemory(letter)
  }

  function removeFromMemory(letter: Letter): void {
    letters.delete(letter.id)
    unsaved.delete(letter.id)
    for (const { episode } of letter.about) letterOfEpisode.delete(episode)
  }

  function isActive(alertKey: string, episode: string): boolean {
    const alert = book.get(alertKey)
    return alert !== undefined && alert.state !== 'resolved' && alert.episode === episode
  }

  /** What is no longer of use, once a day. */
  async function sweep(): Promise<void> {
    const now = clock.now()
    if (now < nextSweepAt) return
    nextSweepAt = now + 86_400_000
    await contacts.tend()
    for (const [userId, { at }] of notBefore) if (at <= now) notBefore.delete(userId)
    const present = new Set<string>()
    for (const { episode } of book.all()) present.add(episode)
    for (const episode of lastSaid.keys()) if (!present.has(episode)) lastSaid.delete(episode)
  }

  function ownersConcerned(): readonly string[] {
    if (receivers.length === 0) return []
    const now = clock.now()
    const users: string[] = []
    for (const alerts of book.activeByUser()) {
      const first = alerts.find(({ ruleId, state }) => state === 'firing' && options.isAllowed(ruleId))
      if (first?.subject.kind !== 'device') continue
      const { userId } = first.subject
      // Also when it waits: handing over goes by its own time.
      if (!isDone(alerts, now)) users.push(userId)
    }
    return users
  }

  /** Nearly all of them most of the time: written about, and not yet due for staff. */
  function isDone(alerts: readonly Alert[], now: number): boolean {
    return alerts.every((alert) => {
      if (alert.state !== 'firing' || !options.isAllowed(alert.ruleId)) return true
      const letter = letterOfEpisode.get(alert.episode)
      if (letter?.sentAt == null) return handover.has(alert)
      return handover.has(alert) || now < letter.sentAt + shortestPatienceMs()
    })
  }

  function shortestPatienceMs(): number {
    return Math.min(...receivers.map(({ config }) => config.escalateAfterMs))
  }

  function mattersOf(userId: string): readonly Matter[] {
    const now = clock.now()
    const matters: Matter[] = []
    for (const { deviceType, deviceId } of book.devicesOf(userId)) {
      for (const alert of book.activeOn({ kind: 'device', userId, deviceType, deviceId })) {
        const matter = matterOf(alert, now)
        if (matter !== null) matters.push(matter)
      }
    }
    return matters.sort((one, other) => firedAt(one.alert) - firedAt(other.alert))
  }

  /** Null: not for an owner, or nothing is wrong at present. */
  function matterOf(alert: Alert, now: number): Matter | null {
    const { subject } = alert
    if (alert.state !== 'firing' || subject.kind !== 'device' || !options.isAllowed(alert.ruleId)) return null
    const routes = options.routesFor(alert).flatMap((route) => {
      const to = receivers.find(({ receiver }) => receiver === route.receiver)
      return to === undefined ? [] : [{ route, to }]
    })
    const free = routes.find(({ route }) => !options.isHeld(alert, route, now))
    const { to } = free ?? routes[0] ?? {}
    if (to === undefined) return null
    const isEarly = now < firedAt(alert) + to.config.afterMs
    const wait = outages.isBehind(alert, now)
      ? 'outage'
      : free === undefined
        ? 'held'
        : isEarly
          ? 'too_early'
          : null
    return { alert: { ...alert, subject }, to, letter: letterOfEpisode.get(alert.episode), wait }
  }

  // ---- one owner

  async function attend(userId: string, signal: AbortSignal): Promise<void> {
    for (const matter of mattersOf(userId)) {
      if (matter.wait !== null) say(matter.alert, matter.wait)
      handOverIfDue(matter)
    }
    const present = toTell(userId)
    if (present.length === 0) return
    const waiting = notBefore.get(userId)
    if (waiting !== undefined && waiting.at > clock.now()) {
      for (const matter of present) giveUpIfLate(matter, waiting.reason)
      return
    }
    try {
      const verdict = await write(userId, present, signal)
      if (verdict === null || signal.aborted) return
      // As they are now: what has ended meanwhile is nobody's matter any more.
      for (const matter of toTell(userId)) {
        if (verdict.kind === 'hand over') handOver(matter.alert, verdict.reason)
        else {
          say(matter.alert, verdict.reason)
          giveUpIfLate(matter, verdict.reason)
        }
      }
      if (verdict.kind === 'wait' && verdict.until !== null)
        notBefore.set(userId, { at: verdict.until, reason: verdict.reason })
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof NotSaved) throw error
      notBefore.set(userId, { at: clock.now() + unreadRetryMs, reason: 'unread' })
      events.onFault(error)
    }
  }

  function handOverIfDue({ alert, letter, to, wait }: Matter): void {
    if (wait !== null) return
    if (letter?.isRefused === true) handOver(alert, 'refused')
    else if (letter?.sentAt != null && clock.now() >= letter.sentAt + to.config.escalateAfterMs)
      handOver(alert, 'no_answer')
  }

  /** What cannot be told for so long that staff would have it by now. Nights do not count: a morning comes. */
  function giveUpIfLate({ alert, letter, to }: Matter, reason: WaitReason): void {
    if (reason !== 'written_lately' && reason !== 'mail_server') return
    const since = letter?.decidedAt ?? firedAt(alert) + to.config.afterMs
    if (clock.now() >= since + to.config.escalateAfterMs) handOver(alert, 'not_written')
  }

  function handOver(alert: Alert, reason: HandoverReason): void {
    if (handover.has(alert)) return
    const writtenAt = letterOfEpisode.get(alert.episode)?.sentAt ?? null
    handover.begin(alert, { reason, writtenAt, at: clock.now() })
    if (lastSaid.get(alert.episode) === reason) return
    lastSaid.set(alert.episode, reason)
    if (reason !== 'no_answer' && reason !== 'refused') events.onSkipped(alert, reason)
    events.onHandedOver(alert, reason)
  }

  function say(alert: Alert, reason: WaitReason): void {
    if (lastSaid.get(alert.episode) === reason) return
    lastSaid.set(alert.episode, reason)
    if (reason !== 'too_early' && reason !== 'mail_server') events.onSkipped(alert, reason)
  }

  /** What they have not been told of and could be now, the oldest first; all of it to one receiver. */
  function toTell(userId: string): readonly Matter[] {
    const free = mattersOf(userId).filter(
      ({ wait, letter, alert }) =>
        wait === null &&
        (letter === undefined || (letter.sentAt === null && !letter.isRefused)) &&
        !handover.has(alert),
    )
    // One that was begun is finished first.
    const begun = free.find(({ letter }) => letter !== undefined) ?? free[0]
    return free.filter(({ to, letter }) => to === begun?.to && (letter ?? begun.letter) === begun.letter)
  }

  /** Null: it was sent, or tried. */
  async function write(
    userId: string,
    matters: readonly Matter[],
    signal: AbortSignal,
  ): Promise<Verdict | null> {
    const to = matters[0]?.to
    if (to === undefined) return null
    const begun = matters.find(({ letter }) => letter !== undefined)?.letter
    const retryAt = Math.max(begun?.nextAttemptAt ?? 0, blocked.get(to.receiver)?.until ?? 0)
    if (retryAt > clock.now()) return { kind: 'wait', reason: 'mail_server', until: retryAt }

    const contact = await contacts.of(userId)
    if (contact !== null && contact.unsubscribedAt !== null)
      return { kind: 'hand over', reason: 'unsubscribed' }
    // The last mail may have been this very one: tried, and not known to have arrived.
    const last =
      contact === null || contact.lastWrittenAt === begun?.attemptedAt ? null : contact.lastWrittenAt
    const dueAt = last === null ? 0 : last + to.config.everyMs
    if (dueAt > clock.now()) return { kind: 'wait', reason: 'written_lately', until: dueAt }

    const user = await options.readUser(userId, signal)
    // One that is gone is told by its devices' alerts, which end.
    if (user === null || user === 'unread') return unread()
    if (user.role !== 'user') return { kind: 'hand over', reason: 'not_a_customer' }
    const address = ownerAddress(user.email)
    if (address === null) return { kind: 'hand over', reason: 'no_address' }
    const place = ownerPlace(user, to.config)
    const quiet = quietVerdict(to, place)
    if (quiet !== null) return quiet

    const devices = await readDevices(userId, to, signal)
    if (signal.aborted) return null
    const about = devices.filter(({ alert }) => isUntold(alert, begun))
    if (about.length === 0) {
      const wasRead = toTell(userId).length === 0
      return wasRead ? { kind: 'wait', reason: 'recovered', until: null } : unread()
    }
    const id = begun?.id ?? options.newId()
    const contactId = contact?.id ?? options.newId()
    const mail = await createOwnerMail({
      place,
      name: [user.first_name, user.last_name].filter((part) => part !== null && part !== '').join(' '),
      company: to.config.company,
      devices: devices.flatMap(({ device }) => device ?? []).slice(0, mostDevices),
      unsubscribeUrl: options.unsubscribeUrl(contacts.unsubscribeToken(contactId)),
    })
    const at = clock.now()
    const letter: Letter = {
      id,
      userId,
      receiver: to.receiver,
      about: about.map(({ alert }) => ({ alertKey: alert.key, episode: alert.episode })),
      decidedAt: begun?.decidedAt ?? at,
      attempts: (begun?.attempts ?? 0) + 1,
      attemptedAt: at,
      // Should this run end before the outcome is known, the next one tries again at once.
      nextAttemptAt: at,
      sentAt: null,
      isRefused: false,
    }
    // Before it is sent: whatever happens from here on, it is this letter that is sent again.
    const written = { id: contactId, digest: contacts.digestOf(userId), lastWrittenAt: at }
    await save({ letters: [letter], written })
    if (contact === null) contacts.countNew()
    index(letter)
    // All that took a while. Nothing lies between these looks and the mail server.
    const present = await contacts.of(userId)
    if (present !== null && present.unsubscribedAt !== null)
      return { kind: 'hand over', reason: 'unsubscribed' }
    const isStillDue = devices.every(({ alert }) => isFree(alert, to)) && quietVerdict(to, place) === null
    // Otherwise the next round judges it anew.
    if (isStillDue && !signal.aborted) await send(letter, { to, address, mail, contactId }, signal)
    return null
  }

  function isFree({ key, episode }: Alert, to: OwnerReceiver): boolean {
    const alert = book.get(key)
    const matter = alert?.episode === episode ? matterOf(alert, clock.now()) : null
    return matter !== null && matter.wait === null && matter.to === to
  }

  function unread(): Verdict {
    return { kind: 'wait', reason: 'unread', until: clock.now() + unreadRetryMs }
  }

  function quietVerdict({ config }: OwnerReceiver, { timeZone }: OwnerPlace): Verdict | null {
    const until = quietHours(config.quietHours, timeZone).endOf(clock.now())
    return until === null ? null : { kind: 'wait', reason: 'quiet_hours', until }
  }

  function isUntold(alert: Alert, begun: Letter | undefined): boolean {
    const letter = letterOfEpisode.get(alert.episode)
    return (letter === undefined || letter.id === begun?.id) && !handover.has(alert)
  }

  /** Everything that is wrong in their home as of now, what they were told before too, each with its link. */
  async function readDevices(
    userId: string,
    to: OwnerReceiver,
    signal: AbortSignal,
  ): Promise<readonly { readonly alert: Alert; readonly device: OwnerDevice | null }[]> {
    const readings = new Map<string, WatchedReading>()
    for (const { alert } of mattersOf(userId)) {
      const { deviceId } = alert.subject
      if (!readings.has(deviceId)) readings.set(deviceId, await options.recheck(alert.subject, signal))
      if (signal.aborted) return []
    }
    const found: { alert: Alert; device: OwnerDevice | null }[] = []
    const listed = new Set<string>()
    for (const { alert, to: other, wait } of mattersOf(userId)) {
      const { deviceId, deviceType: type } = alert.subject
      const reading = readings.get(deviceId)
      if (reading?.kind !== 'read' || alert.noData !== null || wait !== null || other !== to) continue
      const url = await options.linkFor(alert, 'owner')
      if (url === null) continue
      const task = reading.reading.device.is_authenticated === false ? 'connection' : 'action'
      const device = { type, manufacturer: reading.reading.device.manufacturer, task, url } as const
      // A device with two alerts is one thing to do.
      found.push({ alert, device: listed.has(deviceId) ? null : { ...device, since: alert.activeAt } })
      listed.add(deviceId)
    }
    return found
  }

  async function send(
    letter: Letter,
    about: {
      readonly to: OwnerReceiver
      readonly address: string
      readonly mail: Awaited<ReturnType<typeof createOwnerMail>>
      readonly contactId: string
    },
    stop: AbortSignal,
  ): Promise<void> {
    const { to, address, mail, contactId } = about
    const hurry = new AbortController()
    const onStop = () => AbortSignal.timeout(graceMs).addEventListener('abort', () => hurry.abort())
    if (stop.aborted) onStop()
    else stop.addEventListener('abort', onStop, { once: true })
    const posting = { mail, to: address, letterId: letter.id, at: clock.now() }
    const outcome = await to.post(posting, hurry.signal)
    stop.removeEventListener('abort', onStop)

    const at = clock.now()
    if (outcome.kind === 'retry') {
      const failures = (blocked.get(to.receiver)?.failures ?? 0) + 1
      const nextAttemptAt = at + backoffMs(letter.attempts)
      if (outcome.isServers) blocked.set(to.receiver, { until: at + backoffMs(failures), failures })
      for (const { alert } of toTell(letter.userId)) say(alert, 'mail_server')
      await note({ ...letter, nextAttemptAt })
      events.onFailure(letter, { reason: outcome.reason, isFinal: false })
      return
    }
    blocked.delete(to.receiver)
    notBefore.delete(letter.userId)
    const done = outcome.kind === 'ok' ? { ...letter, sentAt: at } : { ...letter, isRefused: true }
    await note(done, { id: contactId, digest: contacts.digestOf(letter.userId), lastWrittenAt: at })
    if (outcome.kind === 'ok') events.onSent(done)
    else {
      events.onFailure(letter, { reason: outcome.reason, isFinal: true })
      for (const matter of mattersOf(letter.userId)) handOverIfDue(matter)
    }
  }

  /** What has happened counts at once; when it cannot be saved, nothing else is done before it is. */
  async function note(
    letter: Letter,
    written?: { readonly id: string; readonly digest: string; readonly lastWrittenAt: number },
  ): Promise<void> {
    // Erased meanwhile: then nothing of it is written down any more.
    if (!letters.has(letter.id)) return
    index(letter)
    unsaved.set(letter.id, letter)
    await save({ letters: [letter], ...(written === undefined ? {} : { written }) })
    unsaved.delete(letter.id)
  }

  /** Doubles from a minute to an hour, with up to half of it taken off at random. */
  function backoffMs(attempts: number): number {
    const fullMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.min(attempts - 1, 10))
    return fullMs * (1 - clock.random() / 2)
  }

  function lettersTo(userId: string): readonly Letter[] {
    return [...letters.values()].filter((letter) => letter.userId === userId)
  }

  // ---- for people

  function explain(alert: Alert): string | null {
    const now = clock.now()
    if (alert.state === 'pending') return null
    if (handover.has(alert)) return 'staff has it: see OwnerDidNothing'
    const matter = matterOf(alert, now)
    if (matter === null) {
      const isToldOf = letterOfEpisode.get(alert.episode)?.sentAt ?? null
      return isToldOf === null ? null : `was written to at ${time(isToldOf)}`
    }
    const { to, letter, wait } = matter
    const { afterMs, escalateAfterMs } = to.config
    if (letter?.sentAt != null) {
      return `was written to at ${time(letter.sentAt)}; staff at ${time(letter.sentAt + escalateAfterMs)} if it still fires`
    }
    if (wait === 'too_early') return `is written to from ${time(firedAt(alert) + afterMs)} on`
    if (wait === 'outage') return 'is not written to: more than this device has trouble, or had a moment ago'
    if (wait === 'held') return 'is not written to while it is held back'
    const waiting = notBefore.get(matter.alert.subject.userId)
    if (waiting !== undefined && waiting.at > now) {
      return `is written to from ${time(waiting.at)} on: ${waitWords[waiting.reason]}`
    }
    return 'is written to within a minute or two, if nothing speaks against it'
  }

  return {
    tend,
    async run(signal, isReady) {
      while (!signal.aborted) {
        const ready = isReady()
        if (ready) await tend(signal)
        await alarm.until(clock.now() + (ready ? roundMs : unreadyMs), signal)
      }
    },
    reconfigure(next) {
      receivers = next
      notBefore.clear()
      blocked.clear()
      alarm.ring()
    },
    explain,
    countOf: (userId) => lettersTo(userId).length,
    async forget(userId) {
      const theirs = lettersTo(userId)
      if (theirs.length > 0) await store.saveOwners({ endedLetters: theirs.map(({ id }) => id) })
      for (const letter of theirs) removeFromMemory(letter)
      notBefore.delete(userId)
      return theirs.length
    },
  }
}

/** Apart from what fails for one owner alone: without a database nobody is written to. */
class NotSaved extends Error {
  override readonly name = 'NotSaved'
}

const waitWords: Readonly<Record<WaitReason, string>> = {
  too_early: 'it has not fired for long enough',
  held: 'it is held back',
  outage: 'more than this device has trouble',
  written_lately: 'they had a mail a short while ago',
  quiet_hours: 'it is night there',
  recovered: 'the device is well again',
  unread: 'the user or the device could not be read',
  mail_server: 'the mail server did not take it',
}

function firedAt({ firedAt: at, activeAt }: Alert): number {
  return at ?? activeAt
}

function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')}Z`
}
