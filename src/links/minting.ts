// Fresh links from the partner, at the moment at which somebody is there to use one.
//
// A minted URL lets whoever has it act for a customer. It is kept in memory alone, for as long as it
// surely works, so that a person who presses the button again goes on where they were; it is in no log, no
// metric, no audit entry and no database. Every mint is on record before it happens: one that cannot be
// recorded does not.

import type { Actor, RecordAudit } from '../actor.ts'
import type { DeviceSubject } from '../alerts/evaluation.ts'
import type { Clock } from '../clock.ts'
import type { PartnerClient, ReturnUrls } from '../partner/client.ts'
import { PartnerError } from '../partner/partner-error.ts'
import { Secret } from '../secret.ts'
import { allowedUrl } from './allowed-host.ts'
import type { Opening } from './opening.ts'

export interface MintRequest {
  readonly device: DeviceSubject
  readonly opening: Opening
  /** One kept URL serves all requests of the same device, action and purpose. */
  readonly purpose: string
  readonly alert: { readonly episode: string; readonly fingerprint: string; readonly alertname: string }
  readonly returnUrls: ReturnUrls
  readonly language: string
  readonly actor: Actor
}

export type MintOutcome =
  | { readonly kind: 'minted'; readonly url: Secret }
  | { readonly kind: 'refused_host' }
  | { readonly kind: 'unavailable' }

export type MintResult = 'ok' | 'failed' | 'refused_host' | 'not_recorded'

export interface Minting {
  /** Never rejects. */
  mint(request: MintRequest): Promise<MintOutcome>
  /** True: `mint` costs the partner nothing. */
  isAtHand(request: Pick<MintRequest, 'device' | 'opening' | 'purpose'>): boolean
  /** A URL that was minted for the device and still works, whatever its action; null: none. */
  kept(device: DeviceSubject, purpose: string): Secret | null
  /** Forgets what was minted for a device: it is well, or somebody wants it forgotten. */
  drop(device: Pick<DeviceSubject, 'deviceType' | 'deviceId'>): void
  /** Forgets all: the addresses to come back to are no longer ours. */
  dropAll(): void
}

export interface MintingOptions {
  readonly client: Pick<PartnerClient, 'resolveAction' | 'createAuthSession'>
  readonly clock: Clock
  /** Host patterns; may change while it runs. */
  readonly allowedHosts: () => readonly string[]
  readonly record: RecordAudit
  /** False: the way back that a kept URL was given leads nowhere any more. */
  readonly isUsable: (episode: string) => boolean
  readonly events: MintingEvents
  /** Ends what is under way. */
  readonly signal: AbortSignal
}

export interface MintingEvents {
  onMinted(result: MintResult): void
  /** `host`: as far as it can be told, never the URL. */
  onRefusedHost(host: string): void
  /** The partner failed, or the audit trail did. */
  onMintFailure(error: unknown): void
}

interface Kept {
  readonly url: Secret
  readonly device: string
  readonly purpose: string
  readonly episode: string
  /** On the monotonic clock, and on the other. */
  readonly until: number
  readonly untilAt: number
}

const keptMs = 50 * 60_000
// What is left for the person to use it.
const leastUseMs = 5 * 60_000
// The oldest go: whoever needs one of them again gets a new one.
const mostKept = 1_000

export function createMinting(options: MintingOptions): Minting {
  const { client, clock, record, events, signal } = options
  const keptUrls = new Map<string, Kept>()
  const underWay = new Map<string, Promise<MintOutcome>>()

  function find(key: string): Kept | undefined {
    const found = keptUrls.get(key)
    if (found !== undefined && works(found)) return found
    keptUrls.delete(key)
    return undefined
  }

  function works({ until, untilAt, episode }: Kept): boolean {
    return clock.monotonic() < until && clock.now() < untilAt && options.isUsable(episode)
  }

  function mint(request: MintRequest): Promise<MintOutcome> {
    const key = keyOf(request)
    const known = find(key)
    if (known !== undefined) return Promise.resolve({ kind: 'minted', url: known.url })
    const present = underWay.get(key)
    if (present !== undefined) return present
    const minted = mintAnew(request, key).finally(() => underWay.delete(key))
    underWay.set(key, minted)
    return minted
  }

  async function mintAnew(request: MintRequest, key: string): Promise<MintOutcome> {
    const { device, opening, alert } = request
    const entry = {
      actor: request.actor,
      action: 'link.mint',
      target: { user: device.userId, device: device.deviceId, alert: alert.fingerprint },
      detail: { shape: opening.shape, code: opening.code, alertname: alert.alertname },
    }
    try {
      await record({ ...entry, result: 'begun' })
    } catch (error) {
      events.onMintFailure(error)
      events.onMinted('not_recorded')
      return { kind: 'unavailable' }
    }
    const mintedAt = clock.monotonic()
    let fetched: Secret
    try {
      fetched = await fetchUrl(request)
    } catch (error) {
      const reason = error instanceof PartnerError ? error.kind : 'unexpected'
      if (!signal.aborted) events.onMintFailure(error)
      events.onMinted('failed')
      await conclude({ ...entry, result: 'failed', detail: { ...entry.detail, reason } })
      return { kind: 'unavailable' }
    }
    const url = allowedUrl(fetched.reveal(), options.allowedHosts())
    if (url === null) {
      const host = URL.parse(fetched.reveal())?.host ?? 'none'
      events.onRefusedHost(host)
      events.onMinted('refused_host')
      await conclude({
        ...entry,
        result: 'failed',
        detail: { ...entry.detail, reason: 'refused_host', host },
      })
      return { kind: 'refused_host' }
    }
    events.onMinted('ok')
    const secret = new Secret(url.href)
    keep(key, request, { url: secret, mintedAt })
    await conclude({ ...entry, result: 'ok' })
    return { kind: 'minted', url: secret }
  }

  function fetchUrl({ device, opening, returnUrls, language }: MintRequest): Promise<Secret> {
    return opening.shape === 'auth_session'
      ? client.createAuthSession(device, returnUrls, signal)
      : client.resolveAction(opening.link, { ...returnUrls, language }, signal)
  }

  /** What was begun is on record already; that its end is not must not keep the person from going on. */
  async function conclude(entry: Parameters<RecordAudit>[0]): Promise<void> {
    await record(entry).catch(events.onMintFailure)
  }

  function keep(
    key: string,
    request: MintRequest,
    { url, mintedAt }: { url: Secret; mintedAt: number },
  ): void {
    const { device, opening, purpose, alert } = request
    const validUntil = opening.shape === 'auth_session' ? null : opening.link.validUntil
    keptUrls.delete(key)
    for (const oldest of keptUrls.keys()) {
      if (keptUrls.size < mostKept) break
      keptUrls.delete(oldest)
    }
    keptUrls.set(key, {
      url,
      device: deviceKey(device),
      purpose,
      episode: alert.episode,
      until: mintedAt + keptMs,
      untilAt: validUntil === null ? Number.POSITIVE_INFINITY : validUntil - leastUseMs,
    })
  }

  return {
    mint,
    isAtHand: (request) => find(keyOf(request)) !== undefined || underWay.has(keyOf(request)),
    kept(device, purpose) {
      for (const one of keptUrls.values()) {
        if (one.device === deviceKey(device) && one.purpose === purpose && works(one)) return one.url
      }
      return null
    },
    drop(device) {
      for (const [key, one] of keptUrls) if (one.device === deviceKey(device)) keptUrls.delete(key)
    },
    dropAll: () => keptUrls.clear(),
  }
}

function keyOf({ device, opening, purpose }: Pick<MintRequest, 'device' | 'opening' | 'purpose'>): string {
  return `${deviceKey(device)}\n${purpose}\n${opening.code}`
}

function deviceKey({ deviceType, deviceId }: Pick<DeviceSubject, 'deviceType' | 'deviceId'>): string {
  return `${deviceType}/${deviceId}`
}
