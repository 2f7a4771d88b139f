// Reading a value that no schema has checked: for rules across places, which are told together with
// everything else that is wrong. Whatever has the wrong shape counts as absent; the schema says so.

import type { YamlPath } from '../yaml-file.ts'

/**
 * Notes a problem at a path of the file; `key`: at the key in the place of the value; `offset`: inside
 * the value's text.
 */
export type Report = (
  path: YamlPath,
  message: string,
  options?: { readonly key?: boolean; readonly offset?: number },
) => void

export interface CheckContext {
  readonly report: Report
  /** The text at a path as a message may show it. */
  readonly quoted: (path: YamlPath) => string
  /** What the file says at a path, before variables expanded. */
  readonly written: (path: YamlPath) => unknown
}

export type Mapping = Readonly<Record<string, unknown>>

export function mapping(value: unknown): Mapping {
  return isMapping(value) ? { ...value } : {}
}

/** The mappings of a list, with their indices. */
export function mappings(value: unknown): readonly (readonly [number, Mapping])[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((item, index) => (isMapping(item) ? [[index, mapping(item)] as const] : []))
}

/** The texts of a list, with their indices. */
export function texts(value: unknown): readonly (readonly [number, string])[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((item, index) => (typeof item === 'string' ? [[index, item] as const] : []))
}

/** True if the key is there, or its `_file` variant. */
export function has(object: Mapping, key: string): boolean {
  return object[key] !== undefined || object[`${key}_file`] !== undefined
}

function isMapping(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
