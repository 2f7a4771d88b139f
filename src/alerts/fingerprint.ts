import type { Labels } from './alert.ts'

const offsetBasis = 0xcbf29ce484222325n
const prime = 0x100000001b3n
const mask = 0xffffffffffffffffn
const separator = 0xff

const encoder = new TextEncoder()

/**
 * Identity of a label set as 16 hex digits: FNV-1a, 64 bit, over each label in sorted name order
 * as name, 0xFF, value, 0xFF, which is what Prometheus and Alertmanager compute.
 */
export function fingerprint(labels: Labels): string {
  let hash = offsetBasis
  const feed = (text: string) => {
    for (const byte of encoder.encode(text)) hash = ((hash ^ BigInt(byte)) * prime) & mask
    hash = ((hash ^ BigInt(separator)) * prime) & mask
  }
  for (const name of Object.keys(labels).sort()) {
    feed(name)
    feed(labels[name] ?? '')
  }
  return hash.toString(16).padStart(16, '0')
}
