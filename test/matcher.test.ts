import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createMatcher,
  formatMatchers,
  isSameMatcher,
  MatcherError,
  matchesAll,
  parseMatchers,
} from '../src/matcher.ts'

function holds(text: string, labels: Readonly<Record<string, string>>): boolean {
  return matchesAll(parseMatchers(text), labels)
}

describe('a matcher', () => {
  it('compares the whole value, and takes a missing label for an empty one', () => {
    expect(holds('a="1"', { a: '1' })).toBe(true)
    expect(holds('a="1"', { a: '11' })).toBe(false)
    expect(holds('a!="1"', {})).toBe(true)
    expect(holds('a=""', {})).toBe(true)
    expect(holds('a=~"b|c"', { a: 'c' })).toBe(true)
    expect(holds('a=~"b|c"', { a: 'bc' })).toBe(false)
    expect(holds('a=~"b.*"', { a: 'xb' })).toBe(false)
    expect(holds('a!~"b.+"', { a: 'b' })).toBe(true)
    expect(holds('a=~"x?"', {})).toBe(true)
    expect(holds('a=~"(?i)tesla"', { a: 'TESLA' })).toBe(true)
  })

  it('is one of several that all have to hold', () => {
    expect(holds('{a="1", b=~"2|3"}', { a: '1', b: '3' })).toBe(true)
    expect(holds('a=1,b=2', { a: '1', b: '3' })).toBe(false)
    expect(holds('{}', {})).toBe(true)
  })

  it('takes no property that every object has for a label', () => {
    expect(holds('constructor=""', {})).toBe(true)
    expect(holds('constructor=~".+"', {})).toBe(false)
    expect(holds('__proto__=~"x.*"', {})).toBe(false)
  })

  it.each([
    ['a=~"(?=x)"', 'no pattern that RE2 takes', 3],
    ['a=~"(x)\\\\1"', 'no pattern that RE2 takes', 3],
    ['a=~"["', 'no pattern that RE2 takes', 3],
    [`a=~"${'x'.repeat(5_000)}"`, 'a pattern may have 4096 characters, not 5000', 3],
    ['a', 'expected =, !=, =~ or !~, found the end', 1],
    ['="x"', 'expected the name of a label', 0],
    ['a="x', 'not closed', 2],
    ['a=x"y', 'has to be quoted', 3],
    ['{a="1"', 'expected "," or "}"', 6],
    ['a="1" b="2"', 'expected "," or the end', 6],
    [Array(200).fill('a=1').join(), 'more than 128 matchers', 515],
  ])('is refused as %s, with the place', (text, message, offset) => {
    const refused = () => parseMatchers(text)
    expect(refused).toThrow(MatcherError)
    expect(refused).toThrow(message)
    expect(refused).toThrow(expect.objectContaining({ offset }))
  })

  it('comes to an end with patterns that blow up elsewhere', () => {
    const { test } = createMatcher('a', '=~', '(a+)+(b|a)*$|(x*)*y')
    expect(test(`${'a'.repeat(20_000)}!`)).toBe(false)
  })

  it('is read back as it was written, whatever it holds', () => {
    const operator = fc.constantFrom('=', '!=', '=~', '!~')
    const matcher = fc.record({
      name: fc.string({ unit: 'binary', minLength: 1 }),
      operator,
      value: fc.string({ unit: 'binary' }),
    })
    fc.assert(
      fc.property(fc.array(matcher, { maxLength: 4 }), (parts) => {
        const matchers = parts.flatMap(({ name, operator: op, value }) => {
          try {
            return [createMatcher(name, op as '=', value)]
          } catch {
            return [] // no regular expression
          }
        })
        const read = parseMatchers(formatMatchers(matchers))
        expect(read).toHaveLength(matchers.length)
        for (const [index, one] of read.entries()) {
          const other = matchers[index]
          expect(other !== undefined && isSameMatcher(one, other)).toBe(true)
        }
      }),
    )
  })
})
