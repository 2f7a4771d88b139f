// biome-ignore-all lint/suspicious/noTemplateCurlyInString: files under test use variables
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { quote, refusedKeys, secretFields } from '../src/schema-message.ts'
import { FileError, parseYaml, validateYaml } from '../src/yaml-file.ts'

const told = (problems: readonly { line: number; column: number; message: string }[]) =>
  problems.map((p) => `${p.line}:${p.column} ${p.message}`)

describe('parsing', () => {
  test('gives the value, with keys as text and without guessing at dates and yes/no', () => {
    const file = parseYaml('f.yaml', 'on: yes\n1: 2001-02-03\nn: 0x10\nlist: [a, 1.5, true, ~]\n')
    expect(file.problems).toEqual([])
    expect(file.value).toEqual({ on: 'yes', 1: '2001-02-03', n: 16, list: ['a', 1.5, true, null] })
  })

  test('takes an empty file for nothing', () => {
    expect(parseYaml('f', '').value).toBeNull()
    expect(parseYaml('f', '# only a comment\n').value).toBeNull()
  })

  test('drops a byte order mark without moving columns', () => {
    const file = parseYaml('f', '\uFEFFa: 1\nb: 2\n')
    expect(file.value).toEqual({ a: 1, b: 2 })
    expect(file.position(['a'])).toEqual({ line: 1, column: 4 })
  })

  test('counts lines the same with CRLF', () => {
    const file = parseYaml('f', 'a: 1\r\nb:\r\n  c: 2\r\n')
    expect(file.value).toEqual({ a: 1, b: { c: 2 } })
    expect(file.position(['b', 'c'])).toEqual({ line: 3, column: 6 })
  })

  test('repeats anchors by alias', () => {
    expect(parseYaml('f', 'a: &x [1]\nb: *x\n').value).toEqual({ a: [1], b: [1] })
  })

  test('keeps a key named like a part of every object as an ordinary key', () => {
    const value = parseYaml('f', '__proto__: {x: 1}\n').value
    expect(Object.keys(value as object)).toEqual(['__proto__'])
    expect((value as { x?: number }).x).toBeUndefined()
  })

  test.each([
    ['a: 1\nb: 2\na: 3\n', ['3:1 duplicate key "a": it is already on line 1']],
    [
      'x: {k: 1, k: 2}\ny:\n  z: 1\n  z: 1\n',
      ['1:11 duplicate key "k": it is already on line 1', '4:3 duplicate key "z": it is already on line 3'],
    ],
    ['a:\n\tb: 1\n', ['2:1 tabs may not indent: use spaces']],
    ['a: 1\n---\nb: 1\n', ['2:1 a file holds one YAML document: take out the `---` between them']],
    ['a: !vault x\n', ['1:4 text that starts with `!` needs quotes (YAML tags are not supported)']],
    ['a: *x\n', ['1:4 text that starts with `*` needs quotes (no YAML anchor of that name comes before)']],
    ['a: &x {b: *x}\n', ['1:11 an alias cannot stand inside the value that it repeats']],
    ['%x\n---\na: 1\n', ['1:1 a line that starts with `%` needs quotes (YAML directives are not supported)']],
    ['a: "\\q"\n', ['1:5 unknown escape sequence: double the backslash, or use single quotes']],
    ['a: @x\n', ['1:4 plain value cannot start with reserved character @: put it in quotes']],
    ['a: b: c\n', ['1:4 a second `: ` on one line: put text that contains it in quotes']],
    ['? {a: 1}\n: 2\n', ['1:3 a key has to be plain text']],
    ['a: "x\n', ['2:1 missing closing "quote']],
    ['a: 1\nb\n', ['2:1 there is no `key: value` here: is a colon missing?']],
    ['a: "x" y\n', ['1:8 more text after a complete value: put all of it in quotes']],
    ['a: |xyz\n  b\n', ['1:5 block scalar header includes extra characters']],
  ])('says what is wrong with %j', (text, problems) => {
    const file = parseYaml('f', text)
    expect(told(file.problems)).toEqual(problems)
    expect(file.value).toBeUndefined()
  })

  test('refuses aliases that multiply', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let i = 1; i < 9; i++)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      )
    const file = parseYaml('f', lines.join('\n'))
    expect(told(file.problems)).toEqual(['2:10 aliases repeat too much: write it out'])
    expect(file.value).toBeUndefined()
  })

  test('survives nesting that no reader would write', () => {
    const file = parseYaml('f', '['.repeat(100_000))
    expect(told(file.problems)[0]).toMatch(/nested too deeply$/)
  })

  test('never throws and never quotes the text around a syntax error', () => {
    const marker = 'hunter2'
    const noise = fc.array(
      fc.constantFrom(
        marker,
        '"',
        "'",
        '|',
        '>',
        '&',
        '*',
        '!',
        '%',
        '@',
        '`',
        '{',
        '}',
        '[',
        ']',
        ',',
        ': ',
        '- ',
        '? ',
        '\n',
        '  ',
        '\t',
        '#',
        '\\',
        '---',
        '\r',
      ),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(noise, (parts) => {
        for (const text of [parts.join(''), `a: ${parts.join('')}\n`]) {
          for (const problem of parseYaml('f', text).problems) {
            // A key is no secret, and its duplicate has to be named.
            if (!problem.message.startsWith('duplicate key')) expect(problem.message).not.toContain(marker)
            expect(problem.line).toBeGreaterThan(0)
            expect(problem.column).toBeGreaterThan(0)
          }
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('positions', () => {
  const file = parseYaml('f', 'a:\n  - b: one\n    c: &x two\n  - {d: [1, 22]}\ne: *x\nf:\n')

  test.each([
    [[], {}, '1:1'],
    [['a'], {}, '2:3'],
    [['a'], { key: true }, '1:1'],
    [['a', 0], {}, '2:5'],
    [['a', 0, 'c'], {}, '3:11'],
    [['a', 0, 'c'], { key: true }, '3:5'],
    [['a', 1, 'd', 1], {}, '4:13'],
    [['e'], {}, '5:4'],
    [['f'], { key: true }, '6:1'],
    // missing: the nearest ancestor
    [['a', 0, 'x'], {}, '2:5'],
    [['a', 7], {}, '2:3'],
    [['a', 7, 'x'], { key: true }, '1:1'],
    [['x', 'y'], {}, '1:1'],
    [['x'], { key: true }, '1:1'],
  ] as const)('of %j %j is %s', (path, options, expected) => {
    const { line, column } = file.position(path, options)
    expect(`${line}:${column}`).toBe(expected)
  })

  test('of an empty file and of one with syntax problems are still places', () => {
    expect(parseYaml('f', '').position(['a'])).toEqual({ line: 1, column: 1 })
    expect(parseYaml('f', 'a: "').position(['a']).line).toBe(1)
  })

  test.each([
    ['plain', 'k: abc def', 4, '1:8'],
    ['plain over lines', 'k: abc\n  def', 4, '2:3'],
    ['single-quoted', "k: 'it''s x'", 5, '1:11'],
    ['double-quoted', 'k: "a\\n\\u00e4\\U0001F600x"', 5, '1:24'],
    ['double-quoted with a folded and an escaped line break', 'k: "ab\n\n  c\\\n   d"', 4, '4:4'],
    ['literal block', 'k: |\n  one\n\n    two\n  three\n', 7, '4:5'],
    ['literal block, indented more', 'k: |\n  one\n\n    two\n  three\n', 5, '4:3'],
    ['folded block', 'k: >-\n  one\n  two\n\n  three\n', 8, '5:3'],
    ['block with CRLF', 'k: |\r\n  one\r\n  two\r\n', 4, '3:3'],
    ['block with an indentation indicator', 'k: |1\n  one\n', 1, '2:3'],
    ['past the end', 'k: abc', 99, '1:7'],
    ['a number', 'k: 1234', 2, '1:4'],
    ['an alias, at its anchor', 'k0: &x abc\nk: *x', 1, '1:9'],
  ])('inside %s follow the text', (_, text, offset, expected) => {
    const { line, column } = parseYaml('f', text).position(['k'], { offset })
    expect(`${line}:${column}`).toBe(expected)
  })

  // Every way to write a text, with the letters all different, so that each is found by its name.
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
  const gap = fc.constantFrom('', ' ', '  ', '\t', '\n', '\n\n', '\n\n\n', '\n  ')
  const styles = ['plain', 'single', 'double', 'literal', 'folded'] as const
  test('of each letter of a value is where that letter stands in the file', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...styles),
        fc.array(gap, { minLength: 1, maxLength: 12 }),
        fc.constantFrom('\n', '\r\n'),
        fc.constantFrom('', '-', '+'),
        fc.boolean(),
        (style, gaps, lineBreak, chomp, escapes) => {
          let next = 0
          let body = ''
          for (const white of gaps) {
            const letter = letters[next++]!
            // Escaped letters and quotes make the value shorter than its source.
            if (style === 'double' && escapes) body += `\\"\\n\\t${letter}\\x41\\\\`
            else if (style === 'single' && escapes) body += `''${letter}`
            else body += letter
            body += white.replaceAll('\n', '\n    ')
          }
          body += 'Z'
          const scalar = {
            plain: body,
            single: `'${body}'`,
            double: `"${body}"`,
            literal: `|${chomp}\n    ${body}\n\n`,
            folded: `>${chomp}\n    ${body}\n\n`,
          }[style]
          const text = `k0: 1\nmap:\n  k: ${scalar}\n`.replaceAll('\n', lineBreak)
          const file = parseYaml('f', text)
          expect(file.problems).toEqual([])
          const value = (file.value as { map: { k: string } }).map.k
          const lines = text.split('\n')
          for (const letter of [...letters.slice(0, next), 'Z']) {
            const { line, column } = file.position(['map', 'k'], { offset: value.indexOf(letter) })
            expect(lines[line - 1]![column - 1]).toBe(letter)
          }
          for (let offset = 0; offset <= value.length; offset++) {
            const { line, column } = file.position(['map', 'k'], { offset })
            expect(line).toBeLessThanOrEqual(lines.length)
            expect(column).toBeLessThanOrEqual(lines[line - 1]!.length + 1)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('validation', () => {
  const secret = z.string().min(3).register(secretFields, {})
  const Inner = z
    .strictObject({ size: z.int().min(1).max(9).optional(), kind: z.enum(['big', 'small']).optional() })
    .register(refusedKeys, { keys: { weight: '`weight` is not supported yet' } })
  const Schema = z.strictObject({
    name: z.string(),
    secret: secret.optional(),
    on: z.boolean().optional(),
    inner: Inner.optional(),
    list: z.array(Inner).min(1).optional(),
    map: z.record(z.string().regex(/^[a-z]+$/, 'a name is written in small letters'), z.string()).optional(),
    either: z.union([z.string(), z.strictObject({ x: z.string() })]).optional(),
    even: z
      .int()
      .refine((n) => n % 2 === 0, { params: { expected: 'an even number' } })
      .optional(),
  })

  test('gives the typed value', () => {
    const { value, problems } = validateYaml(parseYaml('f', 'name: x\ninner: {size: 2}\n'), Schema)
    expect(problems).toEqual([])
    expect(value).toEqual({ name: 'x', inner: { size: 2 } })
  })

  test.each([
    ['', ['1:1 expected a mapping, got nothing']],
    ['- a\n', ['1:1 expected a mapping, got a list']],
    ['on: true\n', ['1:1 "name" is missing']],
    ['name: x\nlist:\n  - {size: 1}\n  - nmae: 1\n', ['4:5 unknown key "nmae": known here are size, kind']],
    ['name: 12\n', ['1:7 expected text, got 12: put it in quotes']],
    ['name: ~\n', ['1:7 expected text, got nothing']],
    ['name: [x]\n', ['1:7 expected text, got a list']],
    ['name: x\non: yes\n', ['2:5 expected true or false, got "yes"']],
    ['name: x\ninner: text\n', ['2:8 expected a mapping, got text']],
    ['name: x\nlist: {}\n', ['2:7 expected a list, got a mapping']],
    ['name: x\nlist: []\n', ['2:7 expected at least 1 entry, got a list']],
    ['name: x\ninner: {size: 0}\n', ['2:15 expected at least 1, got 0']],
    ['name: x\ninner: {size: 10}\n', ['2:15 expected at most 9, got 10']],
    ['name: x\ninner: {size: 1.5}\n', ['2:15 expected a whole number, got 1.5']],
    ['name: x\ninner: {kind: huge}\n', ['2:15 expected one of "big", "small", got "huge"']],
    ['name: x\ninner: {sise: 1}\n', ['2:9 unknown key "sise": did you mean "size"?']],
    ['name: x\ninner: {weight: 1}\n', ['2:9 `weight` is not supported yet']],
    ['name: x\ninner: {wieght: 1}\n', ['2:9 unknown key "wieght": did you mean "weight"?']],
    ['name: x\nmap: {ok: a, NotOk: b}\n', ['2:14 a name is written in small letters']],
    ['name: x\neither: 5\n', ['2:9 expected text or a mapping, got 5']],
    ['name: x\neither: {x: 5}\n', ['2:13 expected text, got 5: put it in quotes']],
    ['name: x\neither: {y: z}\n', ['2:1 "x" is missing', '2:10 unknown key "y": did you mean "x"?']],
    ['name: x\neven: 3\n', ['2:7 expected an even number, got 3']],
    ['name: x\nsecret: 1234\n', ['2:9 expected text, got a number: put it in quotes']],
    ['name: x\nsecret: ab\n', ['2:9 expected at least 3 characters, got text']],
    [
      'name: x\n"a\\nb": 1\nb: 2\n',
      [
        '2:1 unknown key "a\\nb": known here are name, secret, on, inner, list, map, either, even',
        '3:1 unknown key "b": known here are name, secret, on, inner, list, map, either, even',
      ],
    ],
    [
      'nam: x\ninner: {size: a, kinds: big}\non: 1\n',
      [
        '1:1 "name" is missing',
        '1:1 unknown key "nam": did you mean "name"?',
        '2:15 expected a whole number, got "a"',
        '2:18 unknown key "kinds": did you mean "kind"?',
        '3:5 expected true or false, got 1',
      ],
    ],
  ])('of %j says everything that is wrong', (text, expected) => {
    const { value, problems } = validateYaml(parseYaml('f', text), Schema)
    expect(told(problems)).toEqual(expected)
    expect(value).toBeUndefined()
  })

  test('passes on the problems of a file that could not be parsed', () => {
    const file = parseYaml('f', 'a: "')
    expect(validateYaml(file, Schema).problems).toBe(file.problems)
  })

  test('tells a problem under an anchor once', () => {
    const { problems } = validateYaml(
      parseYaml('f', 'name: x\ninner: &i {size: 0}\nlist: [*i, *i]\n'),
      Schema,
    )
    expect(told(problems)).toEqual(['2:18 expected at least 1, got 0'])
  })

  test('checks the expanded value and quotes what is written', () => {
    const file = parseYaml('f', 'name: x\ninner: {kind: "${KIND}"}\n')
    const { problems } = validateYaml(file, Schema, { expanded: { name: 'x', inner: { kind: 'hunter2' } } })
    expect(told(problems)).toEqual(['2:15 expected one of "big", "small", got "${KIND}"'])
  })

  test('quotes of a URL no more than its host, and cuts long text', () => {
    expect(quote('https://hooks.slack.com/services/T/B/hunter2')).toBe('"https://hooks.slack.com/…"')
    expect(quote('https://user:hunter2@host:1/')).toBe('"https://host:1/"')
    expect(quote('postgres://u:hunter2@db')).toBe('"postgres://db"')
    expect(quote('https://host?token=hunter2')).toBe('"https://host/…"')
    expect(quote('see https://host/hunter2 and http://a:hunter2@b')).toBe('"see https://host/… and http://b"')
    expect(quote('https://user:hun/ter2@host/')).toBe('"https://…"')
    // A colon is missing, and YAML takes the next line for more of this text.
    expect(quote('https://host client_secret hunter2')).toBe('"https://host …"')
    expect(quote('my-id client_secret hunter2')).toBe('"my-id …"')
    expect(quote('my-id token:hunter2')).toBe('"my-id …"')
    expect(quote('x'.repeat(80))).toBe(`"${'x'.repeat(60)}…"`)
  })
})

test('an error lists every problem as file:line:column: message', () => {
  const problem = { file: 'a.yaml', line: 2, column: 3, message: 'bad' }
  const error = new FileError([problem, { ...problem, line: 4 }])
  expect(error.message).toBe('a.yaml:2:3: bad\na.yaml:4:3: bad')
  expect(error.kind).toBe('bad_file')
})
