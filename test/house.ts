// The house rules that neither the compiler nor the linter knows: which way imports may go, and who may
// touch time, chance and the process. Each check takes sources (path from src/ → text) and returns
// what breaks it; house.test.ts runs them over src/, and over small wrong examples.

/** Path below src/, with slashes → its text. */
export type Sources = ReadonlyMap<string, string>

/**
 * From what depends on nothing to what nothing depends on. A file may import from its own layer and from
 * those before it. An entry that ends in `/` is a folder; the longest entry that fits a file counts.
 */
export const layers: readonly (readonly string[])[] = [
  ['secret.ts'],
  ['fleet/'],
  // Leaves, usable by everybody.
  [
    ...[
      'actor.ts',
      'alarm.ts',
      'clock.ts',
      'duration.ts',
      'link-metrics.ts',
      'logger.ts',
      'matcher.ts',
      'delivery-metrics.ts',
      'metric-registry.ts',
      'metric-series.ts',
      'metrics.ts',
      'nearest-name.ts',
      'owner-metrics.ts',
    ],
    ...['same-value.ts', 'schema-message.ts', 'yaml-file.ts', 'yaml-offset.ts'],
  ],
  ['config.ts', 'config/'],
  ['partner/'],
  ['poller/'],
  ['rules/'],
  ['alerts/'],
  // Unit tests of rules march them through the life of their alerts.
  ['rules/rule-test.ts', 'rules/rule-test-file.ts'],
  ['notify/'],
  ['links/'],
  ['owners/'],
  ['backoffice/'],
  ['storage/'],
  [
    ...[
      'activity.ts',
      'alerting.ts',
      'explain.ts',
      'forgetting-parts.ts',
      'gap-tally.ts',
      'loaded.ts',
      'heartbeat.ts',
      'monitor.ts',
      'self-service.ts',
      'slot-worker.ts',
      'slots.ts',
    ],
    'telemetry.ts',
  ],
  ['http/'],
  ['alerting-api.ts', 'app.ts', 'page-sources.ts', 'replica.ts'],
  ['simulator/'],
  ['demo/'],
  ['cli/'],
  ['main.ts'],
]

/** Who alone may import these, whatever their layer; besides themselves. */
export const importers: Readonly<Record<string, readonly string[]>> = {
  // telemetry.ts only for the kinds of its errors.
  'storage/': ['app.ts', 'replica.ts', 'cli/', 'telemetry.ts'],
  'simulator/': ['cli/', 'demo/'],
  'demo/': ['cli/'],
  'cli/': ['main.ts'],
}

const pureFolders = ['fleet/', 'rules/', 'alerts/']
const impure = ['clock.ts', 'alarm.ts', 'logger.ts', 'metrics.ts', 'storage/', 'http/']

export interface Import {
  /** A path below src/, or as it is written: a package, a file elsewhere. */
  readonly target: string
  readonly isOurs: boolean
  /** Only types: gone when the code runs. */
  readonly isType: boolean
}

export function importsOf(path: string, source: string): readonly Import[] {
  const text = blanked(source, { keepStrings: true })
  const statement = /^\s*(?:import|export)\s+(?:(type\s+)?([\w*{$][^'"`;=]*?)\s+from\s+)?['"]([^'"]+)['"]/gm
  const dynamic = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g
  const found: Import[] = []
  const add = (specifier: string, isType: boolean) => {
    const resolved = new URL(specifier, `file:///src/${path}`).pathname
    const isOurs = specifier.startsWith('.') && resolved.startsWith('/src/')
    found.push({ target: isOurs ? resolved.replace('/src/', '') : specifier, isOurs, isType })
  }
  for (const [, type, names = '', specifier = ''] of text.matchAll(statement)) {
    const list = /^\{(.*)\}$/s.exec(names.trim())?.[1]
    const each = list?.split(',').filter((name) => name.trim() !== '')
    add(specifier, type !== undefined || (each?.every((name) => /^\s*type\s/.test(name)) ?? false))
  }
  for (const [, specifier = ''] of text.matchAll(dynamic)) add(specifier, false)
  return found
}

export function checkLayers(sources: Sources): string[] {
  const wrong: string[] = []
  for (const [path, source] of sources) {
    const own = layerOf(path)
    if (own === -1) {
      wrong.push(`${path} belongs to no layer: add it to the table in test/house.ts`)
      continue
    }
    for (const { target, isOurs, isType } of importsOf(path, source)) {
      if (!isOurs) continue
      if (!sources.has(target)) wrong.push(`${path} imports ${target}, which does not exist`)
      else if (layerOf(target) > own) wrong.push(`${path} imports ${target}, which comes after it`)
      const restricted = Object.keys(importers).find((folder) => fits(folder, target))
      if (
        restricted !== undefined &&
        ![restricted, ...(importers[restricted] ?? [])].some((by) => fits(by, path))
      ) {
        wrong.push(`${path} imports ${target}, which only ${importers[restricted]?.join(' and ')} may`)
      }
      if (fits('fleet/', path) && target === 'secret.ts' && !isType) {
        wrong.push(`${path} imports ${target} for more than its type`)
      }
    }
  }
  return wrong
}

/** Each cycle once, as `a → b → a`. */
export function checkCycles(sources: Sources): string[] {
  const done = new Set<string>()
  const trail: string[] = []
  const cycles = new Set<string>()
  function visit(path: string): void {
    const at = trail.indexOf(path)
    if (at !== -1) {
      const cycle = trail.slice(at)
      const first = cycle.indexOf([...cycle].sort()[0] ?? '')
      const rotated = [...cycle.slice(first), ...cycle.slice(0, first)]
      cycles.add([...rotated, rotated[0]].join(' → '))
      return
    }
    if (done.has(path)) return
    trail.push(path)
    for (const { target, isOurs } of importsOf(path, sources.get(path) ?? '')) if (isOurs) visit(target)
    trail.pop()
    done.add(path)
  }
  for (const path of sources.keys()) visit(path)
  return [...cycles]
}

/** What runs when a file of a pure folder is loaded, through all that it imports, does no I/O. */
export function checkPurity(sources: Sources): string[] {
  const wrong: string[] = []
  for (const start of sources.keys()) {
    if (!pureFolders.some((folder) => fits(folder, start))) continue
    const seen = new Set<string>()
    const queue = [start]
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (seen.has(path)) continue
      seen.add(path)
      for (const { target, isOurs, isType } of importsOf(path, sources.get(path) ?? '')) {
        const via = path === start ? '' : ` through ${path}`
        if (target.startsWith('node:')) wrong.push(`${start} imports ${target}${via}`)
        else if (isOurs && impure.some((each) => fits(each, target)))
          wrong.push(`${start} imports ${target}${via}`)
        else if (isOurs && !isType) queue.push(target)
      }
    }
  }
  return wrong
}

interface Ban {
  readonly pattern: RegExp
  readonly what: string
  readonly except?: string
}

const bans: readonly Ban[] = [
  { pattern: /\bDate\.now\b/, what: 'reads the time with Date.now', except: 'clock.ts' },
  { pattern: /\bnew Date\b(?!\s*\(\s*[^\s)])/, what: 'reads the time with new Date()', except: 'clock.ts' },
  { pattern: /\bperformance\.now\b/, what: 'reads the time with performance.now', except: 'clock.ts' },
  { pattern: /\bMath\.random\b/, what: 'rolls dice with Math.random', except: 'clock.ts' },
  { pattern: /\b(?:setTimeout|setInterval)\b/, what: 'waits with a timer of its own', except: 'clock.ts' },
  { pattern: /\bprocess\s*\??\.|\bglobalThis\.process\b/, what: 'touches process', except: 'main.ts' },
  { pattern: /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s+\w/m, what: 'declares an enum' },
  { pattern: /^\s*(?:export\s+)?(?:declare\s+)?namespace\s+\w/m, what: 'declares a namespace' },
  { pattern: /^\s*export\s+default\b/m, what: 'has a default export' },
  { pattern: /(?::|<|,|\||&|\bas)\s*any\b(?!\s*[(:.])/, what: 'says any' },
  { pattern: /\bas\s+unknown\s+as\b/, what: 'says as unknown as' },
  { pattern: /^\s*export\s+\*\s+from\b/m, what: 'is a barrel' },
]

export function checkStyle(sources: Sources): string[] {
  const wrong: string[] = []
  for (const [path, source] of sources) {
    const code = blanked(source, { keepStrings: false })
    for (const { pattern, what, except } of bans) {
      if (path !== except && pattern.test(code)) wrong.push(`${path} ${what}`)
    }
    for (const { target } of importsOf(path, source)) {
      if (target === 'node:process' && path !== 'main.ts') wrong.push(`${path} imports node:process`)
      if (
        /^(?:node:)?timers(?:\/promises)?$/.test(target) &&
        /\bsetTimeout\b/.test(code) &&
        path !== 'clock.ts'
      )
        wrong.push(`${path} imports a timer`)
    }
    const [, name = ''] = /([^/]*)\.ts$/.exec(path) ?? []
    if (!/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(name)) wrong.push(`${path} is not named in kebab-case`)
    if (/^(?:utils?|helpers?|types?|common|manager|lib|index)$/.test(name))
      wrong.push(`${path} says nothing by its name`)
  }
  return wrong
}

function layerOf(path: string): number {
  let best = -1
  let length = 0
  for (const [index, entries] of layers.entries()) {
    for (const entry of entries) {
      if (fits(entry, path) && entry.length > length) [best, length] = [index, entry.length]
    }
  }
  return best
}

function fits(entry: string, path: string): boolean {
  return entry.endsWith('/') ? path.startsWith(entry) : path === entry
}

/**
 * The source with comments, and unless they are kept also the insides of strings, templates
 * and regular expressions, replaced by spaces: line breaks stay, code inside `${}` too.
 */
export function blanked(source: string, { keepStrings }: { keepStrings: boolean }): string {
  let result = ''
  let at = 0
  // Depth of braces at which each open template goes on.
  const templates: number[] = []
  let braces = 0
  const keep = (length: number) => {
    result += source.slice(at, at + length)
    at += length
  }
  const blank = (length: number) => {
    result += source.slice(at, at + length).replace(/[^\n]/g, ' ')
    at += length
  }
  const pass = (length: number) => (keepStrings ? keep(length) : blank(length))
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0].length ?? 0
  }
  const template = () => {
    pass(match(/(?:\\[\s\S]|\$(?!\{)|[^\\`$])*/y))
    if (source.startsWith('${', at)) {
      templates.push(braces)
      braces += 1
      keep(2)
    } else keep(1)
  }
  while (at < source.length) {
    const char = source[at]
    if (source.startsWith('//', at)) blank(match(/[^\n]*/y))
    else if (source.startsWith('/*', at)) blank(match(/\/\*[\s\S]*?\*\//y) || source.length - at)
    else if (char === "'" || char === '"') {
      const quoted = match(char === "'" ? /'(?:\\[\s\S]|[^\\'\n])*'?/y : /"(?:\\[\s\S]|[^\\"\n])*"?/y)
      keep(1)
      pass(quoted - 2)
      keep(1)
    } else if (char === '`') {
      keep(1)
      template()
    } else if (
      char === '/' &&
      /(?:^|[=(,:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of))\s*$/.test(result)
    ) {
      pass(match(/\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y) || 1)
    } else if (char === '{') {
      braces += 1
      keep(1)
    } else if (char === '}') {
      braces -= 1
      keep(1)
      if (templates.at(-1) === braces) {
        templates.pop()
        template()
      }
    } else keep(match(/[\w$]+|\s+/y) || 1)
  }
  return result
}
