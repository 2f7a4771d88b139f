import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createJsonListScanner, JsonListError, Malformed } from '../../src/partner/json-array-stream.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** The bytes of a document in pieces that begin at `cuts`. */
function pieces(document: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(document)
  const borders = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return borders.slice(1).map((to, at) => bytes.subarray(borders[at], to))
}

function scan(document: string, cuts: readonly number[] = [], options = {}) {
  const scanner = createJsonListScanner(options)
  const elements = pieces(document, cuts).flatMap((piece) => scanner.push(piece))
  scanner.end()
  return { elements, members: scanner.members() }
}

const everywhere = (document: string) => Array.from({ length: Buffer.byteLength(document) }, (_, at) => at)
const anyCuts = fc.array(fc.nat(), { maxLength: 12 })
// Brackets, quotes, escapes and several bytes per character, where a scanner of bytes goes wrong.
const awkward = fc.string({ unit: fc.constantFrom('"', '\\', '[', ']', '{', '}', ',', ':', 'é', '😀', ' ') })
const anyList = fc.array(
  fc.oneof(fc.jsonValue(), awkward, fc.array(awkward), fc.dictionary(awkward, awkward)),
)

describe('the scanner of JSON lists', () => {
  it('gives what JSON.parse gives, however the bytes are cut', () => {
    fc.assert(
      fc.property(anyList, anyCuts, fc.constantFrom(undefined, 1, '\t'), (list, cuts, indent) => {
        const document = JSON.stringify(list, null, indent)
        expect(scan(document, cuts)).toEqual({ elements: JSON.parse(document), members: null })
      }),
    )
  })

  it('gives the same byte by byte', () => {
    const document = '﻿ [ {"a": "[\\"]é😀"}, [1, [2]], "x\\\\", -1.5e3 ,true,null ] \n'
    const { elements } = scan(document, everywhere(document))
    expect(elements).toEqual(JSON.parse(document.slice(1)))
  })

  it('reads the list in "items", with the other members on both of its sides', () => {
    fc.assert(
      fc.property(anyList, anyCuts, (list, cuts) => {
        const document = `{"total": 7, "a": {"items": [1]}, "items": ${JSON.stringify(list)}, "limit" : null}`
        const { elements, members } = scan(document, cuts)
        expect(elements).toEqual(JSON.parse(JSON.stringify(list)))
        expect(members).toEqual({ total: 7, a: { items: [1] }, limit: null })
      }),
    )
  })

  it('never takes a part of a document for the whole', () => {
    fc.assert(
      fc.property(anyList, fc.boolean(), fc.nat(), (list, isWrapped, cut) => {
        const document = isWrapped ? JSON.stringify({ items: list, total: 1 }) : JSON.stringify(list)
        const bytes = Buffer.from(document)
        const scanner = createJsonListScanner()
        scanner.push(bytes.subarray(0, cut % bytes.length))
        expect(() => scanner.end()).toThrow(JsonListError)
      }),
    )
  })

  it.each([
    ['', 'is empty'],
    ['  \n', 'is empty'],
    ['<!doctype html>', 'is no JSON list: unexpected "<"'],
    ['null', 'is no JSON list: unexpected "n"'],
    ['"[]"', 'is no JSON list: unexpected """'],
    ['[1] x', 'is no JSON list: unexpected "x"'],
    ['[1][2]', 'is no JSON list: unexpected "["'],
    ['[1,]', 'is no JSON list: unexpected "]"'],
    ['[,1]', 'is no JSON list: unexpected ","'],
    ['[1 2]', 'is no JSON list: unexpected "2"'],
    ['[1}', 'is no JSON list: unexpected "}"'],
    ['[{"a":1}', 'ends in the middle'],
    ['{"detail": "not found"}', 'is an object without a list "items"'],
    ['{"items": null}', 'is an object without a list "items"'],
    ['{"items": [], "items": []}', 'holds "items" twice'],
    ['{"items": [],}', 'is no JSON list: unexpected "}"'],
    ['{items: []}', 'is no JSON list: unexpected "i"'],
    ['{"a" 1, "items": []}', 'is no JSON list: unexpected "1"'],
    ['{"a": tru, "items": []}', 'holds a member that is no JSON'],
    ['\u0000[]', 'is no JSON list: unexpected byte 0'],
  ])('refuses %j: it %s', (document, message) => {
    for (const cuts of [[], everywhere(document)]) {
      expect(() => scan(document, cuts)).toThrow(new JsonListError(message))
    }
  })

  it('loses nothing but the element that is no JSON', () => {
    const document = '[{"id":"a"},{"id":"b","level":NaN},{"id":"c"},{"id":},{"id":"d"}]'
    const { elements } = scan(document, everywhere(document))
    expect(elements).toEqual([
      { id: 'a' },
      new Malformed('no JSON'),
      { id: 'c' },
      new Malformed('no JSON'),
      { id: 'd' },
    ])
  })

  it('loses nothing but the element that is too large, and does not keep it', () => {
    const document = JSON.stringify(['a', 'x'.repeat(200), { b: ['y'.repeat(200)] }, 'c'])
    const { elements } = scan(document, everywhere(document), { maximumElementBytes: 50 })
    const tooLarge = new Malformed('larger than an element may be')
    expect(elements).toEqual(['a', tooLarge, tooLarge, 'c'])
  })

  it('holds no element that grows without end', () => {
    const scanner = createJsonListScanner()
    const before = process.memoryUsage().arrayBuffers
    scanner.push(Buffer.from('["'))
    for (let n = 0; n < 400; n++) {
      scanner.push(Buffer.alloc(262_144, 'x'))
      if (n % 20 === 0) collectGarbage()
    }
    collectGarbage()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000)
    expect(scanner.push(Buffer.from('",1]'))).toEqual([new Malformed('larger than an element may be'), 1])
  })

  it('takes a large element that comes in one piece with the others', () => {
    const document = JSON.stringify(['a', 'x'.repeat(100_000), 'c'])
    expect(scan(document).elements).toEqual(JSON.parse(document))
    expect(scan(document, [], { maximumElementBytes: 50_000 }).elements[1]).toBeInstanceOf(Malformed)
  })

  it('is not led astray by a member called __proto__', () => {
    const { members } = scan('{"__proto__": {"total": 5}, "items": []}')
    expect(members?.['total']).toBeUndefined()
  })
})
