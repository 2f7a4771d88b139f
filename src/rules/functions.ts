// The functions, methods and loops that an expression may use, and why not others.

import type { ASTNode } from '@marcbachmann/cel-js'
import { nearestName } from '../nearest-name.ts'
import { type ExpressionType, type ScalarType, typeName, type Variables } from './scope.ts'
import {
  constant,
  ExpressionError,
  fault,
  finiteOrFault,
  intOrFault,
  isList,
  isUnknown,
  type Run,
  type Step,
  type Typed,
  type Unknown,
  unknownOf,
  type Value,
} from './value.ts'

/** A loop variable: one cell for all evaluations, which are synchronous, and no loop runs inside itself. */
export interface Loop {
  readonly name: string
  readonly type: ExpressionType
  current: Value
}

export interface Context {
  readonly variables: Variables
  /** Innermost last. */
  readonly loops: readonly Loop[]
  /** Collects the paths of the fields that are read. */
  readonly reads: Set<string>
  /** Collects the parts outside loops. */
  readonly steps: Step[]
  readonly depth: number
  readonly compile: (node: ASTNode, context: Context) => Typed
}

type MethodNode = Extract<ASTNode, { op: 'rcall' }>

// The macros of CEL that loop over a list; nested more than once they multiply.
const deepestLoops = 2

export function compileFunction(
  name: string,
  args: readonly ASTNode[],
  { node, context }: { node: ASTNode; context: Context },
): Typed {
  switch (name) {
    case 'duration':
      return constant('duration', parseDurationLiteral(literalText(name, args, node)))
    case 'timestamp':
      return constant('timestamp', parseTimestampLiteral(literalText(name, args, node)))
    default:
      return compileOperation(name, args, { table: functions, node, context })
  }
}

export function compileMethod(node: MethodNode, context: Context): Typed {
  const [name, receiver, args] = node.args
  if (name === 'matches') {
    throw new ExpressionError(
      'matches() is not supported, since a regular expression can take forever: use contains, startsWith, endsWith or in',
      nameOffset(node),
    )
  }
  if (isLoop(name)) return compileLoop(name, node, context)
  return compileOperation(name, [receiver, ...args], { table: methods, node, context })
}

// --- operations on values of fixed types

interface Operation {
  /** The types of the receiver, if it is a method, and of the arguments: two at most. */
  readonly takes: readonly (ScalarType | 'list' | 'list<string>')[]
  readonly gives: ScalarType
  readonly call: (a: Value, b: Value) => Value
}

type OperationTable = Readonly<Record<string, readonly Operation[]>>

function onText(gives: ScalarType, call: (text: string) => Value): Operation {
  return { takes: ['string'], gives, call: (a) => (typeof a === 'string' ? call(a) : unknownOf(a)) }
}

function onTexts(gives: ScalarType, call: (a: string, b: string) => Value): Operation {
  return {
    takes: ['string', 'string'],
    gives,
    call: (a, b) => (typeof a === 'string' && typeof b === 'string' ? call(a, b) : unknownOf(a, b)),
  }
}

function onNumber(takes: ScalarType, gives: ScalarType, call: (value: number) => Value): Operation {
  return { takes: [takes], gives, call: (a) => (typeof a === 'number' ? call(a) : unknownOf(a)) }
}

const size: readonly Operation[] = [
  onText('int', codePoints),
  { takes: ['list'], gives: 'int', call: (a) => (isList(a) ? a.length : unknownOf(a)) },
]

const identity = (value: Value) => value

const functions: OperationTable = {
  size,
  string: [
    { takes: ['string'], gives: 'string', call: identity },
    { takes: ['bool'], gives: 'string', call: (a) => (typeof a === 'boolean' ? String(a) : unknownOf(a)) },
    onNumber('int', 'string', String),
    onNumber('double', 'string', String),
  ],
  int: [
    { takes: ['int'], gives: 'int', call: identity },
    onNumber('double', 'int', (value) => intOrFault(Math.trunc(value))),
    onText('int', (text) => (/^[+-]?\d+$/.test(text) ? intOrFault(Number(text)) : fault)),
  ],
  double: [
    { takes: ['double'], gives: 'double', call: identity },
    onNumber('int', 'double', identity),
    onText('double', (text) => (/^[+-]?[\d.]/.test(text) ? finiteOrFault(Number(text)) : fault)),
  ],
}

const secondMs = 1_000
const minuteMs = 60_000
const hourMs = 3_600_000

const methods: OperationTable = {
  size,
  contains: [onTexts('bool', (a, b) => a.includes(b))],
  startsWith: [onTexts('bool', (a, b) => a.startsWith(b))],
  endsWith: [onTexts('bool', (a, b) => a.endsWith(b))],
  lowerAscii: [onText('string', (text) => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()))],
  upperAscii: [onText('string', (text) => text.replace(/[a-z]+/g, (letters) => letters.toUpperCase()))],
  trim: [onText('string', (text) => text.trim())],
  join: [
    { takes: ['list<string>'], gives: 'string', call: (a) => (isList(a) ? a.join('') : unknownOf(a)) },
    {
      takes: ['list<string>', 'string'],
      gives: 'string',
      call: (a, b) => (isList(a) && typeof b === 'string' ? a.join(b) : unknownOf(a, b)),
    },
  ],
  // Of a duration the whole units that it holds, of an instant its part of the calendar in UTC.
  getHours: [wholeUnits(hourMs), calendar((date) => date.getUTCHours())],
  getMinutes: [wholeUnits(minuteMs), calendar((date) => date.getUTCMinutes())],
  getSeconds: [wholeUnits(secondMs), calendar((date) => date.getUTCSeconds())],
  getMilliseconds: [wholeUnits(1), calendar((date) => date.getUTCMilliseconds())],
  getFullYear: [calendar((date) => date.getUTCFullYear())],
  getMonth: [calendar((date) => date.getUTCMonth())],
  getDate: [calendar((date) => date.getUTCDate())],
  getDayOfMonth: [calendar((date) => date.getUTCDate() - 1)],
  getDayOfWeek: [calendar((date) => date.getUTCDay())],
}

function wholeUnits(unitMs: number): Operation {
  return onNumber('duration', 'int', (ms) => intOrFault(Math.trunc(ms / unitMs)))
}

function calendar(part: (date: Date) => number): Operation {
  return onNumber('timestamp', 'int', (ms) => intOrFault(part(new Date(ms))))
}

/** CEL counts code points, JavaScript UTF-16 units. */
function codePoints(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

/** Where the name of a method stands; a node itself starts where its receiver does. */
function nameOffset(node: ASTNode): number {
  return node.op === 'rcall' ? node.input.indexOf(node.args[0], node.args[1].end) : node.start
}

function compileOperation(
  name: string,
  nodes: readonly ASTNode[],
  { table, node, context }: { table: OperationTable; node: ASTNode; context: Context },
): Typed {
  const operations = Object.hasOwn(table, name) ? table[name] : undefined
  if (operations === undefined) throw unknownOperation(name, { table, node })
  const operands = nodes.map((operand) => context.compile(operand, context))
  const operation = operations.find(
    ({ takes }) =>
      takes.length === operands.length && takes.every((type, at) => accepts(type, operands[at]?.type)),
  )
  if (operation === undefined) {
    const got = operands.map(({ type }) => typeName(type))
    const wanted = operations.map(({ takes }) => signature(name, takes, table)).join(' or ')
    throw new ExpressionError(`expected ${wanted}, got ${signature(name, got, table)}`, nameOffset(node))
  }
  const { call, gives } = operation
  const [first, second] = operands.map((operand) => operand.run)
  if (first === undefined) return { type: gives, run: () => fault }
  const run: Run =
    second === undefined
      ? (scope) => {
          const a = first(scope)
          return call(a, a)
        }
      : (scope) => call(first(scope), second(scope))
  return { type: gives, run }
}

function accepts(wanted: string, type: ExpressionType | undefined): boolean {
  if (type === undefined) return false
  if (typeof type === 'string') return type === wanted
  if (type.kind === 'record') return false
  return (
    wanted === 'list' || (wanted === 'list<string>' && (type.element === null || type.element === 'string'))
  )
}

function signature(name: string, types: readonly string[], table: OperationTable): string {
  if (table === functions) return `${name}(${types.join(', ')})`
  return `${types[0]}.${name}(${types.slice(1).join(', ')})`
}

function unknownOperation(
  name: string,
  { table, node }: { table: OperationTable; node: ASTNode },
): ExpressionError {
  const known =
    table === functions
      ? [...Object.keys(functions), 'has', 'timestamp', 'duration']
      : [...Object.keys(methods), ...loops]
  const other = table === functions ? methods : functions
  if (Object.hasOwn(other, name)) {
    const way = table === functions ? `a method: write x.${name}(…)` : `a function: write ${name}(x)`
    return new ExpressionError(`${name} is ${way}`, nameOffset(node))
  }
  const nearest = nearestName(name, known)
  const way = nearest === undefined ? `there are ${known.join(', ')}` : `did you mean ${nearest}?`
  return new ExpressionError(`${name}() is not supported: ${way}`, nameOffset(node))
}

// --- literals with a meaning, read when the rule is loaded

function literalText(name: string, args: readonly ASTNode[], node: ASTNode): { text: string; node: ASTNode } {
  const [argument] = args
  if (args.length === 1 && argument?.op === 'value' && typeof argument.args === 'string') {
    return { text: argument.args, node: argument }
  }
  const example = name === 'duration' ? 'duration("24h")' : 'timestamp("2026-01-31T00:00:00Z")'
  throw new ExpressionError(`${name}() takes one text that is written out, such as ${example}`, node.start)
}

const durationUnits: Readonly<Record<string, number>> = { h: hourMs, m: minuteMs, s: secondMs, ms: 1 }

function parseDurationLiteral({ text, node }: { text: string; node: ASTNode }): number {
  const parts = /^[-+]?((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)$/.exec(text)?.[1]
  if (parts === undefined) {
    const days = /^(\d+)([dw])$/.exec(text)
    const hours = days === null ? 24 : Number(days[1]) * (days[2] === 'w' ? 168 : 24)
    throw new ExpressionError(
      `${JSON.stringify(text)} is no duration in CEL: its units are h, m, s and ms, such as "${hours}h" or "1h30m"`,
      node.start,
    )
  }
  let ms = 0
  for (const [, count, unit] of parts.matchAll(/([\d.]+)(h|ms|m|s)/g)) {
    ms += Number(count) * (durationUnits[unit ?? ''] ?? 0)
  }
  return text.startsWith('-') ? 0 - ms : ms
}

function parseTimestampLiteral({ text, node }: { text: string; node: ASTNode }): number {
  const parts = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.exec(text)
  const at = parts === null ? Number.NaN : Date.parse(text)
  const day = new Date(Date.UTC(Number(parts?.[1]), Number(parts?.[2]) - 1, Number(parts?.[3])))
  // Date.parse takes the 30th of February for the 2nd of March.
  if (!Number.isNaN(at) && day.getUTCDate() === Number(parts?.[3])) return at
  throw new ExpressionError(
    `${JSON.stringify(text)} is no instant: write it with its offset, such as "2026-01-31T08:00:00Z" or "2026-01-31T09:00:00+01:00"`,
    node.start,
  )
}

// --- loops over a list

const loops = ['exists', 'all', 'exists_one', 'filter', 'map'] as const
type LoopName = (typeof loops)[number]

function isLoop(name: string): name is LoopName {
  return loops.some((loop) => loop === name)
}

function compileLoop(name: LoopName, node: MethodNode, context: Context): Typed {
  const [, receiverNode, args] = node.args
  const receiver = context.compile(receiverNode, context)
  if (typeof receiver.type === 'string' || receiver.type.kind !== 'list' || receiver.type.element === null) {
    throw new ExpressionError(
      `${name}() loops over a list, not over ${typeName(receiver.type)}`,
      nameOffset(node),
    )
  }
  const [nameNode, bodyNode] = args
  if (args.length !== 2 || nameNode?.op !== 'id' || bodyNode === undefined) {
    throw new ExpressionError(
      `${name}() takes a name and an expression: list.${name}(x, …)`,
      nameOffset(node),
    )
  }
  if (
    Object.hasOwn(context.variables, nameNode.args) ||
    context.loops.some((l) => l.name === nameNode.args)
  ) {
    throw new ExpressionError(`${nameNode.args} is already the name of something else`, nameNode.start)
  }
  if (context.loops.length >= deepestLoops) {
    throw new ExpressionError(
      `${name}() is nested too deeply: a loop inside a loop is the limit`,
      nameOffset(node),
    )
  }
  const loop: Loop = { name: nameNode.args, type: receiver.type.element, current: fault }
  const body = context.compile(bodyNode, { ...context, loops: [...context.loops, loop] })
  if (name === 'map') {
    return { type: { kind: 'list', element: body.type }, run: mapping(receiver.run, loop, body.run) }
  }
  if (body.type !== 'bool') {
    throw new ExpressionError(
      `${name}() needs a bool for each element, got ${typeName(body.type)}`,
      bodyNode.start,
    )
  }
  switch (name) {
    case 'filter':
      return { type: receiver.type, run: filtering(receiver.run, loop, body.run) }
    case 'exists':
      return { type: 'bool', run: searching(receiver.run, loop, { body: body.run, wanted: true }) }
    case 'all':
      return { type: 'bool', run: searching(receiver.run, loop, { body: body.run, wanted: false }) }
    case 'exists_one':
      return { type: 'bool', run: countingOne(receiver.run, loop, body.run) }
    default:
      return name satisfies never
  }
}

/** `exists` looks for an element that is true, `all` for one that is false; until then, unknown is unknown. */
function searching(list: Run, loop: Loop, { body, wanted }: { body: Run; wanted: boolean }): Run {
  return (scope) => {
    const elements = list(scope)
    if (!isList(elements)) return unknownOf(elements)
    let unknown: Unknown | undefined
    for (const element of elements) {
      loop.current = element
      const found = body(scope)
      if (found === wanted) return wanted
      if (typeof found !== 'boolean') unknown = unknownOf(found, unknown)
    }
    return unknown ?? !wanted
  }
}

function countingOne(list: Run, loop: Loop, body: Run): Run {
  return (scope) => {
    const elements = list(scope)
    if (!isList(elements)) return unknownOf(elements)
    let count = 0
    let unknown: Unknown | undefined
    for (const element of elements) {
      loop.current = element
      const found = body(scope)
      if (found === true) count++
      else if (found !== false) unknown = unknownOf(found, unknown)
    }
    // Two are too many, whatever the unknown ones are.
    return count > 1 ? false : (unknown ?? count === 1)
  }
}

function filtering(list: Run, loop: Loop, body: Run): Run {
  return (scope) => {
    const elements = list(scope)
    if (!isList(elements)) return unknownOf(elements)
    const kept: Value[] = []
    for (const element of elements) {
      loop.current = element
      const found = body(scope)
      if (typeof found !== 'boolean') return unknownOf(found)
      if (found) kept.push(element)
    }
    return kept
  }
}

function mapping(list: Run, loop: Loop, body: Run): Run {
  return (scope) => {
    const elements = list(scope)
    if (!isList(elements)) return unknownOf(elements)
    const mapped: Value[] = []
    for (const element of elements) {
      loop.current = element
      const value = body(scope)
      if (isUnknown(value)) return value
      mapped.push(value)
    }
    return mapped
  }
}
