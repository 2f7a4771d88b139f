import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprint } from '../../src/alerts/fingerprint.ts'

/** As Prometheus' model.LabelSet does it, with integers of any size. */
function asPrometheus(labels: Readonly<Record<string, string>>): string {
  let hash = 0xcbf29ce484222325n
  const feed = (byte: number) => {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  }
  for (const name of Object.keys(labels).sort()) {
    for (const text of [name, labels[name] ?? '']) {
      for (const byte of new TextEncoder().encode(text)) feed(byte)
      feed(0xff)
    }
  }
  return hash.toString(16).padStart(16, '0')
}

describe('the fingerprint of labels', () => {
  it('is the one of Prometheus, for texts of any script', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(fc.dictionary(text, text, { maxKeys: 5 }), (labels) => {
        expect(fingerprint(labels)).toBe(asPrometheus(labels))
      }),
    )
  })

  it('has 16 digits also when it begins with zeros', () => {
    const labels = Array.from({ length: 2_000 }, (_, index) => ({ device_id: String(index) }))
    const short = labels.filter((each) => fingerprint(each).startsWith('0'))
    expect(short.length).toBeGreaterThan(50)
    for (const each of labels) expect(fingerprint(each)).toMatch(/^[0-9a-f]{16}$/)
  })
})
