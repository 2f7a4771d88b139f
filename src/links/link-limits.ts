// How often links may make us ask the partner: each one, and all together. Token buckets that hold a
// minute's worth, on the clock that never goes back.

export interface LinkLimits {
  /** Takes one, if there is one of both; otherwise how long to wait (ms), and nothing is taken. */
  take(link: string): { readonly ok: true } | { readonly ok: false; readonly retryAfterMs: number }
}

export interface LinkLimitsOptions {
  readonly clock: { monotonic(): number }
  /** May change while it runs. */
  readonly perMinute: () => { readonly perLink: number; readonly total: number }
}

interface Bucket {
  tokens: number
  at: number
}

const minuteMs = 60_000
// Of links that were used within the last minute; more than that are at the total's limit anyway.
const mostBuckets = 10_000

export function createLinkLimits({ clock, perMinute }: LinkLimitsOptions): LinkLimits {
  const buckets = new Map<string, Bucket>()
  let all: Bucket | null = null

  function filled(bucket: Bucket | null | undefined, size: number, now: number): Bucket {
    if (bucket === null || bucket === undefined) return { tokens: size, at: now }
    const gained = ((now - bucket.at) / minuteMs) * size
    return { tokens: Math.min(size, bucket.tokens + gained), at: now }
  }

  return {
    take(link) {
      const now = clock.monotonic()
      const { perLink, total } = perMinute()
      const own = filled(buckets.get(link), perLink, now)
      const shared = filled(all, total, now)
      // Rounding must not make somebody wait who has waited as long as they were told.
      const missing = (bucket: Bucket, size: number) =>
        bucket.tokens > 1 - 1e-6 ? 0 : ((1 - bucket.tokens) / size) * minuteMs
      const retryAfterMs = Math.ceil(Math.max(missing(own, perLink), missing(shared, total)) - 1e-3)
      if (retryAfterMs > 0) return { ok: false, retryAfterMs }
      own.tokens -= 1
      shared.tokens -= 1
      all = shared
      buckets.delete(link)
      if (buckets.size >= mostBuckets) dropFull(now)
      buckets.set(link, own)
      return { ok: true }
    },
  }

  /** Those that have had a minute's rest are as good as new; if there are none, the oldest go. */
  function dropFull(now: number): void {
    for (const [link, { at }] of buckets) {
      if (now - at < minuteMs && buckets.size < mostBuckets) return
      buckets.delete(link)
    }
  }
}
