import { inspect } from 'node:util'
import { type Config, parseConfig } from '../../src/config.ts'
import { FileError } from '../../src/yaml-file.ts'

/** A configuration around an alerting section, whose text begins in line 3, indented by one. */
export async function parseAlerting(
  alerting: string,
  options: {
    readonly files?: Readonly<Record<string, string>>
    readonly env?: Readonly<Record<string, string>>
    /** Sections after it. */
    readonly more?: string
  } = {},
): Promise<Config> {
  const indented = alerting.replace(/^(?=.)/gm, ' ')
  return parseConfig({
    file: '/etc/fleet/f.yaml',
    text: `partner: {base_url: "https://p.example/api", token: t}\nalerting:\n${indented}\n${options.more ?? ''}`,
    env: options.env ?? {},
    readFile: async (path) => {
      const text = options.files?.[path.replace('/etc/fleet/', '')]
      if (text === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' })
      return text
    },
    glob: async (pattern) => [pattern],
  })
}

/** `line:column message` of everything that is wrong, lines counted in the alerting section. */
export async function told(...args: Parameters<typeof parseAlerting>): Promise<string[]> {
  const error = await parseAlerting(...args).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof FileError)) throw new Error(`expected a FileError, got ${inspect(error)}`)
  return error.problems.map((p) => `${p.line - 2}:${p.column - 1} ${p.message}`)
}
