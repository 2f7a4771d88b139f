// The documentation against the code: what exists is written down, what is written down exists.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { runCommand } from '../src/cli/program.ts'
import { configJsonSchema } from '../src/cli/schema.ts'
import { systemClock } from '../src/clock.ts'
import { createMetrics } from '../src/metrics.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: root }).sort()

describe('the documentation', () => {
  it('has every metric in operate.md, and no other', async () => {
    const metrics = createMetrics({ clock: systemClock, version: '', revision: '', nodeVersion: '' })
    const ours = [...(await metrics.renderOwn()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
    const rows = read('docs/operate.md').match(/^\| `fleet_.*$/gm) ?? []
    const written = rows.flatMap((row) => (row.split('|')[1] ?? '').match(/fleet_\w+/g) ?? [])
    expect(written.toSorted()).toEqual(ours.toSorted())
  })

  it('has every key of the configuration in configuration.md and in the example', () => {
    const page = read('docs/configuration.md')
    const example = read('fleetwarden.example.yaml')
    const keys = new Set(keysOf(configJsonSchema()))
    expect(keys.size).toBeGreaterThan(40)
    const isMissing = (text: string) => (key: string) => !new RegExp(`\\b${key}\\b`).test(text)
    expect([...keys].filter(isMissing(page))).toEqual([])
    expect([...keys].filter(isMissing(example))).toEqual([])
  })

  it('has every command in the README', async () => {
    const lines: string[] = []
    const print = (line: string) => void lines.push(line)
    const context = { env: {}, nodeVersion: '', clock: systemClock, print, printError: print, terminal: null }
    const signal = new AbortController().signal
    await runCommand(['--help'], {
      ...context,
      signal,
      onReload: () => () => {},
      logDestination: { write: print },
    })
    const commands = [...lines.join('\n').matchAll(/^ {2}([a-z][a-z-]+) (?:\[|<| {2})/gm)].map(
      ([, name]) => name,
    )
    expect(commands).toContain('notify-test')
    const table = read('README.md').match(/^\| `.*$/gm) ?? []
    const isMissing = (name: string | undefined) => !table.some((row) => row.startsWith(`| \`${name}`))
    expect(commands.filter((name) => name !== 'help' && isMissing(name))).toEqual([])
  })

  it.each(pages)('links only to what exists: %s', (page) => {
    const text = read(page).replace(/^```.*?^```/gms, '')
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
    const broken = links.filter((target) => {
      if (/^[a-z]+:/.test(target)) return false
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(root, file))) return true
      return anchor !== undefined && !anchorsOf(read(file)).includes(anchor)
    })
    expect(broken).toEqual([])
  })

  it('keeps a decision to 40 lines and has each in the index', () => {
    const decisions = globSync('docs/decisions/0*.md', { cwd: root })
    const index = read('docs/decisions/README.md')
    for (const path of decisions) {
      expect(read(path).split('\n').length, path).toBeLessThanOrEqual(40)
      expect(index).toContain(path.split(/[\\/]/).at(-1))
    }
  })

  it('has the reason for every dependency', () => {
    const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string> | undefined>
    const names = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((part) =>
      Object.keys(manifest[part] ?? {}),
    )
    const index = read('docs/decisions/README.md')
    const isMissing = (name: string) => !name.startsWith('@types/') && !index.includes(`\`${name}\``)
    expect(names.filter(isMissing)).toEqual([])
  })
})

/** The names of all properties of a JSON Schema, at any depth. */
function keysOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  if (Array.isArray(schema)) return schema.flatMap(keysOf)
  return Object.entries(schema).flatMap(([key, value]) =>
    key === 'properties' && typeof value === 'object' && value !== null
      ? [...Object.keys(value), ...Object.values(value).flatMap(keysOf)]
      : keysOf(value),
  )
}

/** As GitHub makes them of headings. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
