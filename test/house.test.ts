// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are sources under test

import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import {
  blanked,
  checkCycles,
  checkLayers,
  checkPurity,
  checkStyle,
  importers,
  importsOf,
  layers,
  type Sources,
} from './house.ts'

const root = fileURLToPath(new URL('../src/', import.meta.url))
const src: Sources = new Map(
  globSync('**/*.ts', { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
    .map((path) => [path, readFileSync(root + path, 'utf8')]),
)
const sources = (files: Record<string, string>): Sources => new Map(Object.entries(files))

describe('the house', () => {
  it('lets data flow one way: a file imports only from its own layer and those before it', () => {
    expect(src.size).toBeGreaterThan(40)
    expect(checkLayers(src)).toEqual([])
  })

  it('has no import cycles', () => {
    expect(checkCycles(src)).toEqual([])
  })

  it('keeps fleet, rules and alerts pure', () => {
    expect(checkPurity(src)).toEqual([])
  })

  it('leaves time and chance to clock.ts and the process to main.ts, and escapes no types', () => {
    expect(checkStyle(src)).toEqual([])
  })
})

describe('the check of directions', () => {
  it('sees an arrow that turns round, also one of types', () => {
    const wrong = sources({
      'rules/rule.ts': "import type { Alert } from '../alerts/alert.ts'\n",
      'alerts/alert.ts': "import {\n  type Rule,\n} from '../rules/rule.ts'\n",
    })
    expect(checkLayers(wrong)).toEqual(['rules/rule.ts imports alerts/alert.ts, which comes after it'])
    expect(checkCycles(wrong)).toEqual(['alerts/alert.ts → rules/rule.ts → alerts/alert.ts'])
  })

  it('sees a longer cycle, once', () => {
    const wrong = sources({
      'notify/c.ts': "export { a } from './a.ts'",
      'notify/a.ts': "import * as b from './b.ts'",
      'notify/b.ts': "await import('./c.ts')",
    })
    expect(checkCycles(wrong)).toEqual(['notify/a.ts → notify/b.ts → notify/c.ts → notify/a.ts'])
  })

  it('keeps databases, simulator, demo and commands to those who may use them', () => {
    const wrong = sources({
      'storage/sqlite.ts': '',
      'simulator/server.ts': '',
      'http/server.ts': "import { openSqlite } from '../storage/sqlite.ts'",
      'app.ts': "import { openSqlite } from './storage/sqlite.ts'",
      'demo/inbox.ts': "import { start } from '../simulator/server.ts'",
      'main.ts': "import './simulator/server.ts'",
    })
    expect(checkLayers(wrong)).toEqual([
      'http/server.ts imports storage/sqlite.ts, which only app.ts and replica.ts and cli/ and telemetry.ts may',
      'main.ts imports simulator/server.ts, which only cli/ and demo/ may',
    ])
    for (const folder of Object.keys(importers)) expect(layers.flat()).toContain(folder)
  })

  it('sees files that are in no layer, and imports of none', () => {
    expect(checkLayers(sources({ 'drawer/x.ts': '', 'app.ts': "import './gone.ts'" }))).toEqual([
      'drawer/x.ts belongs to no layer: add it to the table in test/house.ts',
      'app.ts imports gone.ts, which does not exist',
    ])
  })

  it('gives fleet only the type of a secret', () => {
    const files = (words: string) =>
      sources({ 'secret.ts': '', 'fleet/device.ts': `import ${words} from '../secret.ts'` })
    expect(checkLayers(files('type { Secret }'))).toEqual([])
    expect(checkLayers(files('{ type Secret }'))).toEqual([])
    expect(checkLayers(files('{ Secret }'))).toEqual([
      'fleet/device.ts imports secret.ts for more than its type',
    ])
  })

  it('sees what is impure, through files between', () => {
    const wrong = sources({
      'rules/a.ts': "import { parse } from '../yaml-file.ts'",
      'rules/b.ts': "import type { parse } from '../yaml-file.ts'",
      'rules/c.ts': "import type { Clock } from '../clock.ts'",
      'yaml-file.ts': "import { readFileSync } from 'node:fs'",
      'clock.ts': '',
    })
    expect(checkPurity(wrong)).toEqual([
      'rules/a.ts imports node:fs through yaml-file.ts',
      'rules/c.ts imports clock.ts',
    ])
  })
})

describe('the check of style', () => {
  it.each([
    ['const t = Date.now()', 'reads the time with Date.now'],
    ['const t = new Date()', 'reads the time with new Date()'],
    ['const t = new Date( ).getTime()', 'reads the time with new Date()'],
    ['const t = performance.now()', 'reads the time with performance.now'],
    ['const x = Math.random()', 'rolls dice with Math.random'],
    ['const t = `${setTimeout(f, 1)}`', 'waits with a timer of its own'],
    ['const x = process.env', 'touches process'],
    ["import { env } from 'node:process'", 'imports node:process'],
    ['export enum Color { red }', 'declares an enum'],
    ['namespace A {}', 'declares a namespace'],
    ['export default function f() {}', 'has a default export'],
    ['function f(x: any) {}', 'says any'],
    ['const x = y as any', 'says any'],
    ['const x: Map<string, any> = y', 'says any'],
    ['const x = y as unknown as string', 'says as unknown as'],
    ["export * from './x.ts'", 'is a barrel'],
  ])('sees that %s', (code, what) => {
    expect(checkStyle(sources({ 'app.ts': code }))).toEqual([`app.ts ${what}`])
  })

  it.each([
    '// Date.now() is for the clock\n/* new Date() */',
    "const text = 'process.env, : any'",
    'const text = `Math.random() ${1} Date.now()`',
    'const at = new Date(ms).toISOString()',
    'const pattern = /process.exit`/',
    'const ratio = a / b; const text = `a` /* process.env */',
    'z.enum(colors)',
    'const promise = Promise.any(all)',
    'for (const any of all) use(any)',
  ])('lets pass: %s', (code) => {
    expect(checkStyle(sources({ 'app.ts': code }))).toEqual([])
  })

  it('lets clock.ts and main.ts do what is theirs', () => {
    expect(checkStyle(sources({ 'clock.ts': 'Date.now()', 'main.ts': 'process.exit(0)' }))).toEqual([])
  })

  it.each(['alerts/utils.ts', 'alerts/index.ts', 'alerts/alertBook.ts'])('sees a bad name: %s', (path) => {
    expect(checkStyle(sources({ [path]: '' }))).toHaveLength(1)
  })
})

describe('the reading of sources', () => {
  it('finds imports of every form, and none in comments and strings', () => {
    const text = [
      "import a from 'a'",
      "import type b from 'b'",
      "import { type C, d } from './c.ts'",
      "import { type E } from '../e.ts'",
      "import './f.ts'",
      "import manifest from '../../package.json' with { type: 'json' }",
      "export { g } from './g.ts'",
      "const h = await import('node:h')",
      "// import x from 'x'",
      'const y = "import y from \'y\'"',
      "export const z = 'z'",
    ].join('\n')
    expect(importsOf('rules/rule.ts', text)).toEqual([
      { target: 'a', isOurs: false, isType: false },
      { target: 'b', isOurs: false, isType: true },
      { target: 'rules/c.ts', isOurs: true, isType: false },
      { target: 'e.ts', isOurs: true, isType: true },
      { target: 'rules/f.ts', isOurs: true, isType: false },
      { target: '../../package.json', isOurs: false, isType: false },
      { target: 'rules/g.ts', isOurs: true, isType: false },
      { target: 'node:h', isOurs: false, isType: false },
    ])
  })

  it('keeps code and its lines, and blanks the rest', () => {
    const text = "a('b') // c\n`d ${e({ f: `g` })} h`;\n/i[/]j/.test(k) / l /* m\n */ n"
    expect(blanked(text, { keepStrings: false })).toBe(
      "a(' ')     \n`  ${e({ f: ` ` })}  `;\n       .test(k) / l     \n    n",
    )
  })
})
