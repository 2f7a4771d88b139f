// A YAML file that people wrote: its value, where each part of it stands, and what is wrong with it,
// all problems at once.
//
// A problem names the place (1-based line and column) and the way out, and quotes the bad value. It
// never quotes a secret: not the value of a field marked with `secretFields`, not the text around a
// syntax error, not what a variable expanded to, and of a URL no more than its host.

import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml'
import type { z } from 'zod'
import { issueMessage, missing, quote } from './schema-message.ts'
import { sourceOffset } from './yaml-offset.ts'

/** Something wrong at a place in a file; line and column count from 1, columns in UTF-16 units. */
export interface FileProblem {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly message: string
}

/** A file that cannot be used. The message lists every problem, one a line. */
export class FileError extends Error {
  readonly kind = 'bad_file'
  readonly problems: readonly FileProblem[]

  constructor(problems: readonly FileProblem[]) {
    super(problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.message}`).join('\n'))
    this.name = 'FileError'
    this.problems = problems
  }
}

export type YamlPath = readonly (string | number)[]

export interface YamlFile {
  readonly file: string
  /** Undefined when there are syntax problems; null for an empty file. */
  readonly value: unknown
  /** Syntax problems, duplicate keys, aliases that lead nowhere or multiply. */
  readonly problems: readonly FileProblem[]
  /**
   * Where the value at a path stands (with `key`: its key); if there is none, its nearest ancestor.
   * `offset` counts characters inside a scalar's parsed text.
   */
  position(
    path: YamlPath,
    options?: { readonly offset?: number; readonly key?: boolean },
  ): { readonly line: number; readonly column: number }
}

/** Never throws: what is wrong with the text is in `problems`. */
export function parseYaml(file: string, text: string): YamlFile {
  // Left in, a byte order mark would move the first line's columns by one.
  const source = text.replace(/^\uFEFF/, '')
  const lines = new LineCounter()
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const problemAt = (offset: number, message: string): FileProblem => ({ file, ...place(offset), message })

  let document: Document.Parsed
  try {
    document = parseDocument(source, {
      lineCounter: lines,
      // Pretty errors quote the line, which may hold a secret.
      prettyErrors: false,
      stringKeys: true,
      resolveKnownTags: false,
    })
  } catch (error) {
    // The parser recurses: nesting of some thousand levels ends its stack.
    if (!(error instanceof RangeError)) throw error
    return { file, value: undefined, problems: [problemAt(0, 'nested too deeply')], position: () => place(0) }
  }

  const problems = [...document.errors, ...document.warnings].map((error) =>
    error.code === 'DUPLICATE_KEY'
      ? problemAt(error.pos[0], duplicateKeyMessage(document, error.pos[0], place))
      : problemAt(error.pos[0], syntaxMessage(error.code, error.message)),
  )
  for (const { offset, message } of aliasProblems(document)) problems.push(problemAt(offset, message))

  let value: unknown
  if (problems.length === 0) {
    try {
      value = document.toJS()
    } catch (error) {
      // Thrown when aliases multiply ("billion laughs"); everything else was looked for above.
      if (!(error instanceof ReferenceError)) throw error
      problems.push(problemAt(firstAlias(document)?.range?.[0] ?? 0, 'aliases repeat too much: write it out'))
    }
  }

  return {
    file,
    value,
    problems: inOrder(problems),
    position: (path, options = {}) => place(offsetOf(document, source, path, options)),
  }
}

type Checked<T> =
  | { readonly value: T; readonly problems: readonly [] }
  | { readonly value: undefined; readonly problems: readonly FileProblem[] }

/**
 * The value as the schema types it, or every problem with its position; the syntax problems if there
 * are any. With `expanded`, that is checked in place of the file's value, whose shape it has, and
 * messages quote what the file says at that place.
 *
 * A refinement says what is allowed as `params: { expected: 'a duration such as 30s' }` (and perhaps a
 * `hint`), and the message becomes `expected a duration such as 30s, got "5"`.
 */
export function validateYaml<Schema extends z.ZodType>(
  file: YamlFile,
  schema: Schema,
  { expanded = file.value }: { readonly expanded?: unknown } = {},
): Checked<z.output<Schema>> {
  if (file.problems.length > 0) return { value: undefined, problems: file.problems }
  const describe = (issue: z.core.$ZodRawIssue) => issueMessage(issue, file.value)
  const result = schema.safeParse(expanded, { error: describe })
  if (result.success) return { value: result.data, problems: [] }
  const problems = result.error.issues.flatMap((issue) => issueProblems(file, issue, []))
  return { value: undefined, problems: inOrder(problems) }
}

/** Sorted by place, each only once: what stands under an anchor is found under each of its aliases. */
export function inOrder(problems: readonly FileProblem[]): readonly FileProblem[] {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column)
  const told = new Set<string>()
  return sorted.filter(({ line, column, message }) => {
    const identity = `${line}:${column}:${message}`
    if (told.has(identity)) return false
    told.add(identity)
    return true
  })
}

// --- syntax

function syntaxMessage(code: string, message: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'tabs may not indent: use spaces'
    case 'MULTIPLE_DOCS':
      return 'a file holds one YAML document: take out the `---` between them'
    case 'TAG_RESOLVE_FAILED':
      return 'text that starts with `!` needs quotes (YAML tags are not supported)'
    case 'BAD_DIRECTIVE':
      return 'a line that starts with `%` needs quotes (YAML directives are not supported)'
    case 'BAD_DQ_ESCAPE':
      return 'unknown escape sequence: double the backslash, or use single quotes'
    case 'BAD_SCALAR_START':
      return `${lowerFirst(message)}: put it in quotes`
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'a second `: ` on one line: put text that contains it in quotes'
    case 'NON_STRING_KEY':
      return 'a key has to be plain text'
    case 'RESOURCE_EXHAUSTION':
      return 'nested too deeply'
    default:
      if (message.startsWith('Implicit map keys need'))
        return 'there is no `key: value` here: is a colon missing?'
      if (message.endsWith('at node end')) return 'more text after a complete value: put all of it in quotes'
      // After a colon, the parser quotes the text that it stumbled over.
      return lowerFirst(message.split(': ', 1)[0] ?? message)
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}

function duplicateKeyMessage(
  document: Document.Parsed,
  offset: number,
  place: (offset: number) => { readonly line: number },
): string {
  let message = 'duplicate key'
  visit(document, {
    Map: (_, map) => {
      const keys = map.items.map((pair) => pair.key).filter((key) => isScalar(key))
      const duplicate = keys.find((key) => key.range?.[0] === offset)
      const first = keys.find((key) => key.value === duplicate?.value)
      if (duplicate === undefined || first === undefined) return undefined
      const line = place(first.range?.[0] ?? 0).line
      message = `duplicate key ${quote(duplicate.value)}: it is already on line ${line}`
      return visit.BREAK
    },
  })
  return message
}

/** Aliases without an anchor before them, and those inside their own anchor (the value would be endless). */
function aliasProblems(document: Document.Parsed): { readonly offset: number; readonly message: string }[] {
  const problems: { offset: number; message: string }[] = []
  const anchors = new Map<string, Node>()
  visit(document, {
    Node: (_, node, ancestors) => {
      if (isAlias(node)) {
        const anchor = anchors.get(node.source)
        const offset = node.range?.[0] ?? 0
        if (anchor === undefined) {
          // The name is not quoted: a secret that starts with `*` and lacks quotes would be one.
          problems.push({
            offset,
            message: 'text that starts with `*` needs quotes (no YAML anchor of that name comes before)',
          })
        } else if (ancestors.some((ancestor) => ancestor === anchor)) {
          problems.push({ offset, message: 'an alias cannot stand inside the value that it repeats' })
        }
      } else if ('anchor' in node && typeof node.anchor === 'string') {
        anchors.set(node.anchor, node)
      }
    },
  })
  return problems
}

function firstAlias(document: Document.Parsed): Node | undefined {
  let found: Node | undefined
  visit(document, {
    Alias: (_, alias) => {
      found = alias
      return visit.BREAK
    },
  })
  return found
}

// --- positions

function offsetOf(
  document: Document.Parsed,
  text: string,
  path: YamlPath,
  options: { readonly offset?: number; readonly key?: boolean },
): number {
  let node: unknown = document.contents
  let key: unknown
  let reached = 0
  for (const step of path) {
    const next = child(isAlias(node) ? node.resolve(document) : node, step)
    if (next === undefined) break
    ;({ key, node } = next)
    reached++
  }
  const target = options.key === true && key !== undefined ? key : node
  const resolved = isAlias(target) ? target.resolve(document) : target
  if (options.offset !== undefined && options.key !== true && reached === path.length && isScalar(resolved)) {
    return sourceOffset(text, resolved, options.offset)
  }
  return startOf(target) ?? startOf(key) ?? 0
}

function child(node: unknown, step: string | number): { key: unknown; node: unknown } | undefined {
  if (isMap(node)) {
    const pair = node.items.find((item) => isScalar(item.key) && item.key.value === String(step))
    return pair && { key: pair.key, node: pair.value }
  }
  if (isSeq(node) && typeof step === 'number' && step in node.items) {
    return { key: node.items[step], node: node.items[step] }
  }
  return undefined
}

function startOf(node: unknown): number | undefined {
  if (isPair(node)) return startOf(node.key)
  return isScalar(node) || isCollection(node) || isAlias(node) ? node.range?.[0] : undefined
}

// --- what a schema says, at its place

function issueProblems(file: YamlFile, issue: z.core.$ZodIssue, prefix: YamlPath): FileProblem[] {
  const path = [...prefix, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))]
  const problem = (message: string, position: { line: number; column: number }): FileProblem => ({
    file: file.file,
    ...position,
    message,
  })
  if (issue.code === 'unrecognized_keys') {
    const messages = issue.message.split('\n')
    return issue.keys.map((key, index) =>
      problem(messages[index] ?? '', file.position([...path, key], { key: true })),
    )
  }
  if (issue.code === 'invalid_key') return [problem(issue.message, file.position(path, { key: true }))]
  if (issue.code === 'invalid_union') {
    // The alternative that the value was meant to be is the one whose outer shape it has.
    const isRootIssue = (inner: z.core.$ZodIssue) =>
      inner.path.length === 0 && inner.code !== 'unrecognized_keys'
    const fitting = issue.errors.filter((issues) => !issues.some(isRootIssue))
    const [only] = fitting
    if (fitting.length === 1 && only !== undefined)
      return only.flatMap((inner) => issueProblems(file, inner, path))
  }
  const name = path[path.length - 1]
  if (issue.message === missing && typeof name === 'string') {
    return [problem(`${quote(name)} is missing`, file.position(path, { key: true }))]
  }
  return [problem(issue.message, file.position(path))]
}
