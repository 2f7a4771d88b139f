import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { plain, plainJson, tableLines } from '../../src/cli/printed.ts'

const orders = /\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}/u
const anyText = fc.string({
  unit: fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\u001b[2J', '\u009b', '\u202e', '\n')),
})

describe('text of others', () => {
  it('on a terminal holds nothing that the terminal obeys', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(plain(text)).not.toMatch(orders)
        expect(
          tableLines([
            [text, text],
            ['a', text],
          ]).join(''),
        ).not.toMatch(orders)
      }),
    )
  })

  it('that holds no such thing stays as it is', () => {
    expect(plain('Wärmepumpe "4711" – ok 😀')).toBe('Wärmepumpe "4711" – ok 😀')
  })

  it('as JSON says the same, and holds nothing but line breaks that the terminal obeys', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, anyText), (value) => {
        const printed = plainJson(value)
        expect(printed.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069]/u)
        expect(JSON.parse(printed)).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })
})

describe('a table', () => {
  it('has columns as wide as their widest cell', () => {
    expect(
      tableLines([
        ['a', 'bb'],
        ['ccc', ''],
      ]),
    ).toEqual(['a    bb', 'ccc'])
    expect(tableLines([])).toEqual([])
  })
})
