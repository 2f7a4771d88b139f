import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flag, parametersOf, parseFilters } from '../../src/http/alert-query.ts'
import { ApiError } from '../../src/http/api-error.ts'
import { formatMatcher } from '../../src/matcher.ts'

const text = fc.string({ unit: 'grapheme' })

describe('the parameters of a URL', () => {
  it('are read as URLSearchParams writes them, in their order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text)), (pairs) => {
        const parameters = parametersOf(`http://x/y?${new URLSearchParams(pairs)}`)
        const expected = new Map<string, string[]>()
        for (const [name, value] of pairs) expected.set(name, [...(expected.get(name) ?? []), value])
        expect(parameters).toEqual(expected)
      }),
    )
  })

  it('may be any text, which is refused in words or read', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (query) => {
        try {
          parametersOf(`http://x/y?${query}`)
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError)
          expect((error as ApiError).message.length).toBeLessThan(400)
        }
      }),
    )
  })

  it('that are not given have no values', () => {
    expect(parametersOf('http://x/y')).toEqual(new Map())
    expect(parametersOf('http://x/y?')).toEqual(new Map())
    expect(parametersOf('http://x/y?a&&b=&c=d=e')).toEqual(
      new Map([
        ['a', ['']],
        ['b', ['']],
        ['c', ['d=e']],
      ]),
    )
  })
})

describe('a filter', () => {
  it('comes back as it was printed, whatever the value', () => {
    fc.assert(
      fc.property(text, fc.constantFrom('=' as const, '!=' as const), (value, operator) => {
        const filter = formatMatcher({ name: 'label', operator, value })
        const [matcher, ...more] = parseFilters(new Map([['filter', [filter]]]))
        expect([matcher?.name, matcher?.operator, matcher?.value, more]).toEqual([
          'label',
          operator,
          value,
          [],
        ])
      }),
    )
  })

  it('may be any text, which is refused in words or read', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (filter) => {
        try {
          parseFilters(new Map([['filter', [filter]]]))
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError)
          expect((error as ApiError).message.length).toBeLessThan(700)
        }
      }),
    )
  })
})

describe('a flag', () => {
  it.each([
    ['true', true],
    ['TRUE', true],
    ['1', true],
    ['false', false],
    ['False', false],
    ['0', false],
  ])('%s', (word, value) => {
    expect(flag(new Map([['active', [word]]]), 'active', !value)).toBe(value)
  })

  it('that is missing or empty is as it is by itself, and the last one counts', () => {
    expect(flag(new Map(), 'active', true)).toBe(true)
    expect(flag(new Map([['active', ['']]]), 'active', false)).toBe(false)
    expect(flag(new Map([['active', ['true', 'false']]]), 'active', true)).toBe(false)
  })
})
