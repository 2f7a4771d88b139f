// The operators of an expression. Each gets the types of its operands checked when it is compiled,
// and passes on what is unknown when it runs; only && and || can do without an operand.

import type { ASTNode } from '@marcbachmann/cel-js'
import { nearestName } from '../nearest-name.ts'
import type { Context } from './functions.ts'
import { type ExpressionType, isRecord, sameType, typeName } from './scope.ts'
import {
  constant,
  ExpressionError,
  fault,
  finiteOrFault,
  intOrFault,
  isList,
  isUnknown,
  type Run,
  type Typed,
  unknownOf,
  type Value,
} from './value.ts'

export type Binary = readonly [ASTNode, ASTNode]

// --- logic: FALSE && UNKNOWN is FALSE, TRUE || UNKNOWN is TRUE

export function not(operand: Run): Run {
  return (scope) => {
    const value = operand(scope)
    return typeof value === 'boolean' ? !value : unknownOf(value)
  }
}

export function and(left: Run, right: Run): Run {
  return (scope) => {
    const a = left(scope)
    if (a === false) return false
    const b = right(scope)
    if (b === false) return false
    return a === true && b === true ? true : unknownOf(a === true ? b : a, b === true ? a : b)
  }
}

export function or(left: Run, right: Run): Run {
  return (scope) => {
    const a = left(scope)
    if (a === true) return true
    const b = right(scope)
    if (b === true) return true
    return a === false && b === false ? false : unknownOf(a === false ? b : a, b === false ? a : b)
  }
}

// --- comparison

export function equality(
  op: '==' | '!=',
  [leftNode, rightNode]: Binary,
  node: ASTNode,
  context: Context,
): Typed {
  const isNull = (side: ASTNode) => side.op === 'value' && side.args === null
  if (isNull(leftNode) || isNull(rightNode)) {
    const { present } = fieldOf(isNull(leftNode) ? rightNode : leftNode, context)
    return { type: 'bool', run: op === '!=' ? present : not(present) }
  }
  const left = context.compile(leftNode, context)
  const right = context.compile(rightNode, context)
  checkEqualTypes(left.type, right.type, { op, node })
  checkValues(left, right, rightNode)
  checkValues(right, left, leftNode)
  const equal = equals(comparedWith(left, right), comparedWith(right, left), left.type)
  return { type: 'bool', run: op === '==' ? equal : not(equal) }
}

export function presence(args: readonly ASTNode[], node: ASTNode, context: Context): Typed {
  const [argument] = args
  if (argument === undefined || args.length > 1 || !isPath(argument)) {
    throw new ExpressionError(
      'has() takes one field of a variable, such as has(device.price_zone)',
      (argument ?? node).start,
    )
  }
  return { type: 'bool', run: fieldOf(argument, context).present }
}

function isPath(node: ASTNode): boolean {
  return node.op === '.' && (node.args[0].op === 'id' || isPath(node.args[0]))
}

/** Has to be a field: anything else is never null. */
function fieldOf(node: ASTNode, context: Context): NonNullable<Typed['select']> {
  const { select } = context.compile(node, context)
  if (select !== undefined) return select
  throw new ExpressionError('only a field can be null, such as device.price_zone', node.start)
}

/** A status of "unknown" counts as missing, unless the expression asks for just that. */
function comparedWith(side: Typed, other: Typed): Run {
  return asksFor(side, other.literal) ? (side.select?.raw ?? side.run) : side.run
}

function asksFor(side: Typed, value: unknown): boolean {
  const missingValue = side.select?.field.missingValue
  return missingValue !== undefined && value === missingValue
}

/** A comparison with a value that the field never has is a typing error. */
function checkValues(side: Typed, other: Typed, otherNode: ASTNode): void {
  const values = side.select?.field.values
  const value = other.literal
  if (values === undefined || typeof value !== 'string' || values.includes(value)) return
  const nearest = nearestName(value, values)
  const way = nearest === undefined ? `it is one of ${values.join(', ')}` : `did you mean "${nearest}"?`
  throw new ExpressionError(`is never ${JSON.stringify(value)}: ${way}`, otherNode.start)
}

const isNumeric = (type: ExpressionType) => type === 'int' || type === 'double'

function isComparable(a: ExpressionType, b: ExpressionType): boolean {
  if (isNumeric(a) && isNumeric(b)) return true
  if (isRecord(a) || isRecord(b) || !sameType(a, b)) return false
  return typeof a === 'string' || a.element === null || isComparable(a.element, a.element)
}

function checkEqualTypes(
  a: ExpressionType,
  b: ExpressionType,
  { op, node }: { op: string; node: ASTNode },
): void {
  if (isComparable(a, b)) return
  throw new ExpressionError(`cannot compare ${typeName(a)} ${op} ${typeName(b)}`, node.start)
}

function equals(left: Run, right: Run, type: ExpressionType): Run {
  if (typeof type === 'object') {
    return (scope) => {
      const a = left(scope)
      const b = right(scope)
      return isList(a) && isList(b) ? equalLists(a, b) : unknownOf(a, b)
    }
  }
  return (scope) => {
    const a = left(scope)
    if (typeof a === 'symbol') return unknownOf(a, right(scope))
    const b = right(scope)
    return typeof b === 'symbol' ? b : a === b
  }
}

function equalLists(a: readonly Value[], b: readonly Value[]): boolean {
  return (
    a.length === b.length &&
    a.every((value, position) => {
      const other = b[position] ?? fault
      return isList(value) && isList(other) ? equalLists(value, other) : value === other
    })
  )
}

export function comparison(
  op: '<' | '<=' | '>' | '>=',
  [leftNode, rightNode]: Binary,
  node: ASTNode,
  context: Context,
): Typed {
  const left = context.compile(leftNode, context)
  const right = context.compile(rightNode, context)
  const isOrdered = typeof left.type === 'string' && left.type !== 'bool'
  if (!isOrdered || !isComparable(left.type, right.type)) {
    throw new ExpressionError(
      `cannot compare ${typeName(left.type)} ${op} ${typeName(right.type)}${timeHint(left.type, right.type)}`,
      node.start,
    )
  }
  return { type: 'bool', run: left.type === 'string' ? orderTexts(op, left, right) : order(op, left, right) }
}

function timeHint(a: ExpressionType, b: ExpressionType): string {
  if (a === 'timestamp' && b === 'duration') return ': an age is now - it'
  const isTime = (type: ExpressionType) => type === 'timestamp' || type === 'duration'
  return isTime(a) || isTime(b)
    ? ': write durations as duration("24h"), instants as timestamp("2026-01-31T00:00:00Z")'
    : ''
}

function order(op: '<' | '<=' | '>' | '>=', { run: left }: Typed, { run: right }: Typed): Run {
  switch (op) {
    case '<':
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? a < b : unknownOf(a, b)
      }
    case '<=':
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? a <= b : unknownOf(a, b)
      }
    case '>':
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? a > b : unknownOf(a, b)
      }
    case '>=':
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? a >= b : unknownOf(a, b)
      }
    default:
      return op satisfies never
  }
}

function orderTexts(op: '<' | '<=' | '>' | '>=', { run: left }: Typed, { run: right }: Typed): Run {
  return (scope) => {
    const a = left(scope)
    const b = right(scope)
    if (typeof a !== 'string' || typeof b !== 'string') return unknownOf(a, b)
    if (a === b) return op === '<=' || op === '>='
    return a < b === (op === '<' || op === '<=')
  }
}

export function membership([valueNode, listNode]: Binary, node: ASTNode, context: Context): Typed {
  const value = context.compile(valueNode, context)
  const members = context.compile(listNode, context)
  const { type } = members
  if (typeof type !== 'object' || type.kind !== 'list') {
    throw new ExpressionError(`the right side of in has to be a list, not ${typeName(type)}`, listNode.start)
  }
  if (type.element === null) {
    throw new ExpressionError('nothing is ever in an empty list', listNode.start)
  }
  checkEqualTypes(value.type, type.element, { op: 'in a list of', node })
  const elements = members.elements ?? []
  for (const element of elements) checkValues(value, element, listNode)
  const asked = elements.some((element) => asksFor(value, element.literal))
  const run = asked ? (value.select?.raw ?? value.run) : value.run
  return {
    type: 'bool',
    run: (scope) => {
      const wanted = run(scope)
      const list = members.run(scope)
      if (isUnknown(wanted) || !isList(list)) return unknownOf(wanted, list)
      if (!isList(wanted)) return list.includes(wanted)
      return list.some((member) => isList(member) && equalLists(member, wanted))
    },
  }
}

// --- arithmetic

type Arithmetic = '+' | '-' | '*' | '/' | '%'

export function arithmetic(
  op: Arithmetic,
  [leftNode, rightNode]: Binary,
  node: ASTNode,
  context: Context,
): Typed {
  const left = context.compile(leftNode, context)
  const right = context.compile(rightNode, context)
  const type = arithmeticType(op, left.type, right.type)
  if (type === undefined) {
    throw new ExpressionError(
      `cannot compute ${typeName(left.type)} ${op} ${typeName(right.type)}${arithmeticHint(left.type, right.type)}`,
      node.start,
    )
  }
  if (type === 'string') return { type, run: joinTexts(left.run, right.run) }
  if (typeof type === 'object') return { type, run: joinLists(left.run, right.run) }
  return {
    type,
    run: type === 'int' ? computeInts(op, left.run, right.run) : compute(op, left.run, right.run),
  }
}

function arithmeticType(op: Arithmetic, a: ExpressionType, b: ExpressionType): ExpressionType | undefined {
  if (op === '%') return a === 'int' && b === 'int' ? 'int' : undefined
  if (isNumeric(a) && isNumeric(b)) return a === 'int' && b === 'int' ? 'int' : 'double'
  if (op === '-' && a === 'timestamp' && b === 'timestamp') return 'duration'
  if (op === '+' || op === '-') {
    if (b === 'duration' && (a === 'timestamp' || a === 'duration')) return a
  }
  if (op !== '+') return undefined
  if (a === 'string' && b === 'string') return 'string'
  return typeof a === 'object' && a.kind === 'list' && typeof b === 'object' && sameType(a, b)
    ? a.element === null
      ? b
      : a
    : undefined
}

function arithmeticHint(a: ExpressionType, b: ExpressionType): string {
  // CEL allows it, but cel-js takes the sum for a duration.
  if (a === 'duration' && b === 'timestamp') return ': write the instant first'
  return a === 'string' || b === 'string' ? ': string(…) makes text of a number' : timeHint(a, b)
}

function joinTexts(left: Run, right: Run): Run {
  return (scope) => {
    const a = left(scope)
    const b = right(scope)
    return typeof a === 'string' && typeof b === 'string' ? a + b : unknownOf(a, b)
  }
}

function joinLists(left: Run, right: Run): Run {
  return (scope) => {
    const a = left(scope)
    const b = right(scope)
    return isList(a) && isList(b) ? [...a, ...b] : unknownOf(a, b)
  }
}

function compute(op: Arithmetic, left: Run, right: Run): Run {
  switch (op) {
    case '+':
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? finiteOrFault(a + b) : unknownOf(a, b)
      }
    case '-':
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? finiteOrFault(a - b) : unknownOf(a, b)
      }
    case '*':
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? finiteOrFault(a * b) : unknownOf(a, b)
      }
    default:
      return (scope) => {
        const a = left(scope)
        const b = right(scope)
        return typeof a === 'number' && typeof b === 'number' ? finiteOrFault(a / b) : unknownOf(a, b)
      }
  }
}

function computeInts(op: Arithmetic, left: Run, right: Run): Run {
  return (scope) => {
    const a = left(scope)
    const b = right(scope)
    if (typeof a !== 'number' || typeof b !== 'number') return unknownOf(a, b)
    switch (op) {
      case '+':
        return intOrFault(a + b)
      case '-':
        return intOrFault(a - b)
      case '*':
        return intOrFault(a * b)
      case '/':
        return intOrFault((a - (a % b)) / b)
      case '%':
        return intOrFault(a % b)
      default:
        return op satisfies never
    }
  }
}

export function negate(node: Extract<ASTNode, { op: '-_' }>, context: Context): Typed {
  const operand = context.compile(node.args, context)
  if (operand.type !== 'int' && operand.type !== 'double') {
    throw new ExpressionError(`cannot negate ${typeName(operand.type)}`, node.start)
  }
  if (typeof operand.literal === 'number') return constant(operand.type, 0 - operand.literal)
  const run: Run = (scope) => {
    const value = operand.run(scope)
    return typeof value === 'number' ? 0 - value : unknownOf(value)
  }
  return { type: operand.type, run }
}
