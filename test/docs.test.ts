// The documentation against the code: what exists is written down, what is written down exists.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { refusalReasons } from '../src/actor.ts'
import { runCommand } from '../src/cli/program.ts'
import { configJsonSchema } from '../src/cli/schema.ts'
import { systemClock } from '../src/clock.ts'
import { type Config, parseConfig } from '../src/config.ts'
import { commands, endpoints } from '../src/http/permissions.ts'
import { createMetrics } from '../src/metrics.ts'
import { checkTemplates } from '../src/notify/template-check.ts'

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

  it('says in access.md what each endpoint and each command needs', () => {
    const rows = (pattern: RegExp) => [...read('docs/access.md').matchAll(pattern)].map(([row]) => row)
    expect(rows(/^\| `(?:GET|POST|PUT|PATCH|DELETE|ALL) .*$/gm)).toEqual(
      endpoints.map(({ name, needs, purpose }) => `| \`${name}\` | ${needs} | ${purpose} |`),
    )
    const section = read('docs/access.md').split('| command | needs |')[1]?.split('\n\n')[0] ?? ''
    expect(section.match(/^\| `.*$/gm)).toEqual(
      commands.flatMap(({ command, needs }) => (needs === null ? [] : [`| \`${command}\` | ${needs} |`])),
    )
  })

  it('has every reason for a refusal in access.md', () => {
    const section = read('docs/access.md').split('## What is refused')[1] ?? ''
    expect([...section.matchAll(/^\| `(\w+)`/gm)].map(([, reason]) => reason)).toEqual(refusalReasons)
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

  const examples = pages.flatMap((page) =>
    configurationsIn(read(page)).map((example, index) => ({ page, number: index + 1, example })),
  )

  it.each(examples)('shows configurations that are accepted: $page, $number', async ({ example }) => {
    const { alerting } = await accepted(stringify(completed(example)))
    expect(checkTemplates(alerting.receivers)).toEqual([])
  })

  it('finds the configurations of its pages', () => {
    const found = new Set(examples.map(({ page }) => page))
    for (const page of ['README', 'docs/alerts', 'docs/receivers', 'docs/templates'])
      expect(found).toContain(`${page}.md`)
  })

  it('has templates in the example that say what they have to', async () => {
    const { alerting } = await accepted(withTemplates(read('fleetwarden.example.yaml')))
    const [onCall] = alerting.receivers
    expect(onCall?.slack[0]?.template).toMatchObject({ title: expect.any(String), text: expect.any(String) })
    expect(onCall?.email[0]?.template).toMatchObject({
      subject: expect.any(String),
      html: expect.any(String),
    })
    expect(checkTemplates(alerting.receivers)).toEqual([])
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

type Mapping = Readonly<Record<string, unknown>>

const receiverKinds = ['slack_configs', 'email_configs', 'webhook_configs', 'pagerduty_configs']

/** The YAML examples of a page that are a configuration, a part of one, or of a receiver. */
function configurationsIn(markdown: string): Mapping[] {
  const sections = Object.keys((configJsonSchema() as { properties: Mapping }).properties)
  const isPart = (value: unknown): value is Mapping =>
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).every((key) => sections.includes(key) || receiverKinds.includes(key))
  return [...markdown.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => parse(text)).filter(isPart)
}

/** With what an example leaves out: the partner, a mail server, and the receivers that its routes name. */
function completed(example: Mapping): Mapping {
  const ofReceiver = Object.entries(example).filter(([key]) => receiverKinds.includes(key))
  const sections = Object.entries(example).filter(([key]) => !receiverKinds.includes(key))
  const given = (example['alerting'] ?? {}) as Mapping
  const { route = { receiver: 'r' }, receivers = [{ name: 'r', ...Object.fromEntries(ofReceiver) }] } = given
  const known = (receivers as readonly { name: string }[]).map(({ name }) => name)
  const missing = new Set(
    [...JSON.stringify([route, example]).matchAll(/"(?:fallback_)?receiver":"([^"]+)"/g)].map(
      ([, name]) => name,
    ),
  )
  for (const name of known) missing.delete(name)
  const others = [...missing].map((name) => ({ name }))
  return {
    partner: { base_url: 'https://partner.example.com', token: 'hush' },
    ...Object.fromEntries(sections),
    alerting: {
      ...given,
      global: {
        smtp_smarthost: 'mail.example.com:587',
        smtp_from: 'fleet@example.com',
        slack_api_url: 'https://hooks.example.com/x',
        ...(given['global'] as Mapping | undefined),
      },
      route,
      receivers: [...(receivers as readonly Mapping[]), ...others],
    },
  }
}

/** As the service would take it, if its variables and its secrets are there. */
function accepted(text: string): Promise<Config> {
  const names = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name)
  return parseConfig({
    file: 'fleetwarden.yaml',
    text,
    env: Object.fromEntries(names.map((name) => [name, 'https://hooks.example.com/x'])),
    readFile: async (path) => {
      if (path.endsWith('/database-url')) return 'postgres://keeper:hush@db.example.com/fleet'
      if (path.endsWith('link-key')) return '0b7d1c62e94f4b0e9f3a5c8d7e6f1a2b'
      return /webhook|slack$|url|care$/.test(path) ? 'https://hooks.example.com/x' : 'hush'
    },
    glob: async (pattern, folder) => [join(folder, pattern)],
  })
}

/** The example with its commented templates, but for those that are files. */
function withTemplates(example: string): string {
  return example
    .replace(/^( *)# template:.*\n(?:\1# {3}.*\n)+/gm, (block) => block.replace(/^( *)# /gm, '$1'))
    .replace(/^ *(?:title|text|subject|html)_file:.*\n/gm, '')
}

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
