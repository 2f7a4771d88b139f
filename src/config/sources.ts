// What a configuration takes from outside its file: environment variables, and files that hold
// secrets and certificates.

import { isAbsolute, resolve } from 'node:path'
import type { YamlPath } from '../yaml-file.ts'
import type { FileContent, NamedFiles } from './fields.ts'

// `${{` and `${%` are a dollar sign before a Liquid template.
const variable = /\$(?:\$|\{(?![{%])(?:(?<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?<fallback>[^}]*))?\})?)/g

/**
 * A copy of the value with `${NAME}`, `${NAME:-default}` (also where NAME is set to nothing) and `$$`
 * (a dollar sign) expanded in its texts; keys stay as they are, and so does any other `$`. `unset`
 * lists the texts that could not be expanded, and `report` is told why, with the place in the text.
 */
export function expandVariables(
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
  report: (path: YamlPath, offset: number, message: string) => void,
): { readonly value: unknown; readonly unset: readonly YamlPath[] } {
  const unset: YamlPath[] = []
  const expandText = (text: string, path: YamlPath): string => {
    let expanded = ''
    let end = 0
    for (const match of text.matchAll(variable)) {
      const { name, fallback } = match.groups ?? {}
      expanded += text.slice(end, match.index)
      end = match.index + match[0].length
      if (match[0] === '$$') {
        expanded += '$'
        continue
      }
      const found = name !== undefined && Object.hasOwn(env, name) ? env[name] : undefined
      const value = fallback !== undefined && found === '' ? fallback : (found ?? fallback)
      if (value === undefined) {
        unset.push(path)
        report(path, match.index, name === undefined ? notAVariable : notSet(name))
      }
      expanded += value ?? ''
    }
    return expanded + text.slice(end)
  }
  const expand = (current: unknown, path: YamlPath): unknown => {
    if (typeof current === 'string') return expandText(current, path)
    if (Array.isArray(current)) return current.map((item, index) => expand(item, [...path, index]))
    if (typeof current !== 'object' || current === null) return current
    const entries = Object.entries(current).map(([key, item]) => [key, expand(item, [...path, key])])
    return Object.fromEntries(entries)
  }
  return { value: expand(value, []), unset }
}

const notAVariable = `\`\${\` begins a variable such as \${NAME} or \${NAME:-default}: write \`$\${\` for the text itself`

function notSet(name: string): string {
  return `the variable ${name} is not set: set it, or give a default as in \${${name}:-default}`
}

/** Keys whose value names a file to read. Others that end in `_file` are unknown keys, and left alone. */
const fileKeys: ReadonlySet<string> = new Set([
  ...['client_secret_file', 'token_file', 'url_file', 'smtp_auth_password_file', 'slack_api_url_file'],
  ...['api_url_file', 'auth_password_file', 'ca_file', 'app_token_file', 'slack_app_token_file'],
  ...['signing_key_file', 'routing_key_file', 'password_file', 'credentials_file', 'bearer_token_file'],
  ...['title_file', 'text_file', 'subject_file', 'html_file'],
])

/** Reads every file that the configuration names, all at once. What could not be read is in the result. */
export async function readNamedFiles(
  value: unknown,
  source: {
    /** Where relative paths start. */
    readonly folder: string
    readonly readFile: (path: string) => Promise<string>
    /** The text at a path as a message may show it. */
    readonly quoted: (path: YamlPath) => string
  },
): Promise<NamedFiles> {
  const named = new Map<string, string>()
  const collect = (current: unknown, path: YamlPath): void => {
    if (typeof current !== 'object' || current === null) return
    for (const [key, item] of Object.entries(current)) {
      const at = [...path, Array.isArray(current) ? Number(key) : key]
      if (fileKeys.has(key) && typeof item === 'string') named.set(item, source.quoted(at))
      else collect(item, at)
    }
  }
  collect(value, [])
  const read = async (path: string, quoted: string): Promise<FileContent> => {
    try {
      return { text: await source.readFile(resolve(source.folder, path)) }
    } catch (error) {
      const hint = isAbsolute(path) ? '' : ' (a relative path starts at the folder of this file)'
      return { failure: `${readFailure(quoted, error)}${hint}` }
    }
  }
  const contents = await Promise.all(
    [...named].map(async ([path, quoted]) => [path, await read(path, quoted)] as const),
  )
  return new Map(contents)
}

/** Why a file could not be read, in words. */
export function readFailure(quoted: string, error: unknown): string {
  const code =
    typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error'
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    ENOTDIR: 'there is no such file',
    EACCES: 'this user may not read it',
    EPERM: 'this user may not read it',
    EISDIR: 'it is a folder',
  }
  return `cannot read ${quoted}: ${reasons[code] ?? code}`
}
