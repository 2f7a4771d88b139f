// One walk: the list of all users, then every user's devices, each user handed on as soon as all of
// theirs is there. A fixed number of workers take the next user when they are free, so that one
// slow answer delays one worker; or users are read elsewhere, and only counted here. What is read of a
// user is in user-reader.ts.
//
// Nothing of a user is kept after it was handed on. It never decides what a reading means.

import type { UnreadReason, UserReading } from '../fleet/reading.ts'
import type { User } from '../fleet/user.ts'
import { Malformed } from '../partner/json-array-stream.ts'
import { PartnerError } from '../partner/partner-error.ts'
import { inParallel } from './in-parallel.ts'
import { UserList } from './user-list.ts'
import {
  attempt,
  createUserReader,
  type ReadCounts,
  type Unread,
  type UserReaderOptions,
  type WatchedDevice,
} from './user-reader.ts'

export type { Unread } from './user-reader.ts'

/** The devices and users that have alerts. */
export interface Watched {
  userIds(): Iterable<string>
  devicesOf(userId: string): readonly WatchedDevice[]
}

export interface WalkOptions extends Omit<UserReaderOptions, 'watched'> {
  /** Users that are read at once; each takes one request at a time. */
  readonly concurrency: number
  readonly watched: Watched
  /** Each user once, in no fixed order; the worker goes on when it is done. If it fails, the walk does. */
  readonly onUser: (reading: UserReading) => void | Promise<void>
  /** Given, it sees to it that all of these users are read, and `onUser` hears of none of them. */
  readonly readElsewhere?: ReadElsewhere | null
  readonly progress?: (progress: { readonly done: number; readonly total: number }) => void
}

export type ReadElsewhere = (
  users: Iterator<User>,
  about: {
    readonly total: number
    /** When the list arrived (ms since 1970). */
    readonly observedAt: number
    readonly signal: AbortSignal
    readonly onDone: (users: number) => void
  },
) => Promise<ReadCounts>

export interface WalkReport {
  /** Why the user list could not be read: nothing was then. Null: it was. */
  readonly listRead: UnreadReason | null
  /** All that there are, read or not. */
  readonly users: number
  /** Users of whom at least one thing is unread, with those whose entry in the list was malformed. */
  readonly usersUnread: number
  readonly malformedUsers: number
  readonly devices: number
  /** A list that is unread counts for as many devices as the user is said to have, at least one. */
  readonly devicesUnread: number
  /** Of the clock, ms since 1970. */
  readonly startedAt: number
  readonly endedAt: number
  /** Watched, absent from the list, and deleted or unknown when asked for by id. */
  readonly goneUsers: readonly string[]
  /** Watched, absent from the list, and unread when asked for by id: nothing was handed on of them. */
  readonly unreadWatchedUsers: readonly { readonly userId: string; readonly reason: UnreadReason }[]
}

const listAttempts = 3
const listRetryMs = 2_000

export async function walk(options: WalkOptions): Promise<WalkReport> {
  const { client, clock, signal, needs, watched } = options
  const startedAt = clock.now()
  const report = {
    listRead: null as UnreadReason | null,
    users: 0,
    usersUnread: 0,
    malformedUsers: 0,
    devices: 0,
    devicesUnread: 0,
    startedAt,
    endedAt: startedAt,
    goneUsers: [] as string[],
    unreadWatchedUsers: [] as { userId: string; reason: UnreadReason }[],
  }
  const unread = (what: Unread['what'], reason: UnreadReason, problem: string) =>
    options.onUnread?.({ what, reason, problem })
  const reader = createUserReader(options)

  const list = await readUserList()
  if (list !== null) {
    report.users = list.size + report.malformedUsers
    const observedAt = clock.now()
    let done = 0
    const onDone = (users: number) => {
      done += users
      options.progress?.({ done, total: list.size })
    }
    if (options.readElsewhere) {
      const about = { total: list.size, observedAt, signal, onDone }
      add(await options.readElsewhere(list.users(), about))
    } else {
      await inParallel(list.users(), options, async (user) => {
        await handOn(user, observedAt)
        onDone(1)
      })
    }
    await inParallel(missingUsers(list).values(), options, (userId) => lookForUser(userId))
  }
  add(reader.counts())
  return { ...report, endedAt: clock.now() }

  function add({ usersUnread, devices, devicesUnread }: ReadCounts): void {
    report.usersUnread += usersUnread
    report.devices += devices
    report.devicesUnread += devicesUnread
  }

  /** Begins anew when the list breaks off in the middle; null when it cannot be read. */
  async function readUserList(): Promise<UserList | null> {
    for (let attempt = 1; ; attempt++) {
      const seed = Math.floor(clock.random() * 2 ** 32)
      const list = new UserList({ countExternalIds: needs.externalIdCounts, seed })
      const malformed: Malformed[] = []
      try {
        for await (const user of client.users(signal)) {
          if (user instanceof Malformed) malformed.push(user)
          else if (!list.add(user)) malformed.push(new Malformed('an id that was in the list before'))
        }
        for (const { reason } of malformed) unread('user', 'malformed', reason)
        report.malformedUsers = malformed.length
        report.usersUnread = malformed.length
        return list
      } catch (error) {
        if (!(error instanceof PartnerError)) throw error
        // A call that fails at its beginning has been tried again already.
        const brokeOff = list.size > 0 && (error.kind === 'network' || error.kind === 'timeout')
        if (!brokeOff || attempt === listAttempts) {
          unread('users', error.kind, error.message)
          report.listRead = error.kind
          return null
        }
      }
      await clock.sleep(listRetryMs * (attempt - clock.random() / 2), signal)
    }
  }

  /** Watched users that the list doesn't have; all at once, since what is watched changes meanwhile. */
  function missingUsers(list: UserList): readonly string[] {
    const missing: string[] = []
    for (const userId of watched.userIds()) if (!list.has(userId)) missing.push(userId)
    return missing
  }

  async function lookForUser(userId: string): Promise<void> {
    const found = await attempt(() => client.user(userId, signal))
    if (found === null || (found instanceof PartnerError && found.kind === 'not_found')) {
      report.goneUsers.push(userId)
      return
    }
    report.users++
    if (found instanceof PartnerError) {
      unread('user', found.kind, found.message)
      report.usersUnread++
      report.unreadWatchedUsers.push({ userId, reason: found.kind })
    } else await handOn(found, clock.now())
  }

  async function handOn(user: User, observedAt: number): Promise<void> {
    await options.onUser(await reader.read(user, observedAt))
  }
}
