import type { Labels } from './alert.ts'

// 2^40 + primeLow is the prime of FNV-1a with 64 bits.
const primeLow = 0x1b3
const separator = 0xff

const encoder = new TextEncoder()

/**
 * Identity of a label set as 16 hex digits: FNV-1a, 64 bit, over each label in sorted name order
 * as name, 0xFF, value, 0xFF, which is what Prometheus and Alertmanager compute. In two halves of
 * 32 bits: it is made at each evaluation of an active alert, and with BigInt it takes 17 µs.
 */
export function fingerprint(labels: Labels): string {
  const hash = { high: 0xcbf29ce4 | 0, low: 0x84222325 | 0 }
  for (const name of Object.keys(labels).sort()) {
    feed(hash, name)
    feed(hash, labels[name] ?? '')
  }
  return hex(hash.high) + hex(hash.low)
}

/** Takes in the text and its separator. */
function feed(hash: { high: number; low: number }, text: string): void {
  let { high, low } = hash
  const bytes = utf8(text)
  for (let at = 0; at <= bytes.length; at++) {
    const byte = at < bytes.length ? bytes.charCodeAt(at) : separator
    const mixed = low ^ byte
    // The product of the lower half, itself in halves: nothing here exceeds 32 bits.
    const lowest = (mixed & 0xffff) * primeLow
    const middle = (mixed >>> 16) * primeLow + (lowest >>> 16)
    low = (middle << 16) | (lowest & 0xffff)
    high = (Math.imul(high, primeLow) + (mixed << 8) + (middle >>> 16)) | 0
  }
  hash.high = high
  hash.low = low
}

function hex(half: number): string {
  return (half >>> 0).toString(16).padStart(8, '0')
}

/** One character for each byte of the text in UTF-8. */
function utf8(text: string): string {
  return /^[ -~]*$/.test(text) ? text : String.fromCharCode(...encoder.encode(text))
}
