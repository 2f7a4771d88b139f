// Durations as Prometheus and Alertmanager write them: `1h30m`, `90s`, `500ms`, `2w`, `0`.

const unitsMs = {
  y: 365 * 86_400_000,
  w: 7 * 86_400_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
} as const

// Each unit at most once and in falling order, as in prometheus/common model.ParseDuration.
const pattern =
  /^(?:(?<y>\d+)y)?(?:(?<w>\d+)w)?(?:(?<d>\d+)d)?(?:(?<h>\d+)h)?(?:(?<m>\d+)m)?(?:(?<s>\d+)s)?(?:(?<ms>\d+)ms)?$/

// Prometheus holds a duration as signed 64-bit nanoseconds (292 years) and refuses more.
const longestMs = Number(2n ** 63n / 1_000_000n)

/** Milliseconds, or undefined if the text is no duration (`''`, `5`, `1m1h`, `1.5h`, `-1s`) or over 292 years. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0
  const counts = pattern.exec(text)?.groups
  if (text === '' || counts === undefined) return undefined
  let ms = 0
  for (const [unit, size] of Object.entries(unitsMs)) ms += Number(counts[unit] ?? 0) * size
  return ms <= longestMs ? ms : undefined
}

/**
 * For people: the two largest neighbouring units, the rest cut off: `2h 5m`, `1m 30s`, `14d`, `3h`
 * (3h 0m 12s), `450ms`, `0s`. Days are the largest unit.
 */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (ms < 1_000) return ms < 1 ? '0s' : `${Math.floor(ms)}ms`
  const units = ['d', 'h', 'm', 's'] as const
  const largest = units.findIndex((unit) => ms >= unitsMs[unit])
  let left = ms
  const parts: string[] = []
  for (const unit of units.slice(largest, largest + 2)) {
    const count = Math.floor(left / unitsMs[unit])
    left -= count * unitsMs[unit]
    if (count > 0) parts.push(`${count}${unit}`)
  }
  return parts.join(' ')
}
