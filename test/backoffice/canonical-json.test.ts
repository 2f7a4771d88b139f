import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../../src/backoffice/canonical-json.ts'

// Own members called __proto__, lone surrogates, NUL, numbers of every size.
const json = fc.jsonValue({ noUnicodeString: false, maxDepth: 4 } as fc.JsonSharedConstraints)
const anyText = fc.string({ unit: 'binary', maxLength: 10 })
const deep = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    anyText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc
      .array(
        fc.tuple(fc.oneof(anyText, fc.constantFrom('__proto__', 'constructor', 'toJSON')), tie('value')),
        {
          maxLength: 3,
        },
      )
      .map((members) => Object.fromEntries(members)),
  ),
})).value

describe('canonical JSON', () => {
  it('is JSON that says the same', () => {
    fc.assert(
      fc.property(fc.oneof(json, deep), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  it('comes out the same after it was read back', () => {
    fc.assert(
      fc.property(deep, (value) => {
        const text = canonicalJson(value)
        expect(canonicalJson(JSON.parse(text))).toBe(text)
      }),
    )
  })

  it('does not depend on the order in which keys were set', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(anyText, deep), { selector: ([key]) => key }), (members) => {
        expect(canonicalJson(Object.fromEntries(members.toReversed()))).toBe(
          canonicalJson(Object.fromEntries(members)),
        )
      }),
    )
  })

  it('differs for what differs', () => {
    fc.assert(
      fc.property(deep, deep, (one, other) => {
        const isSame = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other))
        expect(canonicalJson(one) === canonicalJson(other)).toBe(isSame)
      }),
    )
  })

  it.each([
    [{ b: 1, a: [true, null, 'ü\n'] }, '{"a":[true,null,"ü\\n"],"b":1}'],
    [{ é: 1, e: 2, '\u{1f600}': 3, '\ufb33': 4 }, '{"e":2,"é":1,"\u{1f600}":3,"\ufb33":4}'],
    [[1e21, 1e-7, -0, 0.1, 333333333.3333333], '[1e+21,1e-7,0,0.1,333333333.3333333]'],
    [{ a: undefined, b: 'x' }, '{"b":"x"}'],
    [JSON.parse('{"__proto__": {"a": 1}}'), '{"__proto__":{"a":1}}'],
    ['\ud800', '"\\ud800"'],
    [Object.create(null), '{}'],
  ])('writes %j as RFC 8785 has it', (value, text) => {
    expect(canonicalJson(value)).toBe(text)
  })

  it.each([
    ['NaN', Number.NaN],
    ['Infinity', [Number.POSITIVE_INFINITY]],
    ['undefined', undefined],
    ['undefined in a list', [undefined]],
    // biome-ignore lint/suspicious/noSparseArray: it is what is tested.
    ['a hole in a list', [1, , 2]],
    ['a bigint', { a: 1n }],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a Date', new Date(0)],
    ['a Map', new Map()],
  ])('refuses %s', (_, value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError)
  })

  it('refuses what contains itself, and takes what is there twice', () => {
    const shared = { a: 1 }
    expect(canonicalJson([shared, shared])).toBe('[{"a":1},{"a":1}]')
    const loop: unknown[] = []
    loop.push({ loop })
    expect(() => canonicalJson(loop)).toThrow('contains itself')
  })
})

/** By the rules of equality, another way than the one that is tested. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return ['list', ...value.map(sorted)]
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? 0 : value
  const members = Object.entries(value).map(([key, item]) => [key, sorted(item)] as const)
  return ['object', ...members.toSorted(([one], [other]) => (one < other ? -1 : 1))]
}
