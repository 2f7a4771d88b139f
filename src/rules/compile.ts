// From the syntax tree of a CEL expression to closures that evaluate it, checking types on the way.
//
// Why not cel-js's own evaluation: it answers missing data with exceptions (7 µs each), takes three
// times as long, and cannot tell "missing" from "wrong". Here both are values, see value.ts.
// Nothing is allocated but by loops that build lists and by text building, and nothing throws once
// an expression is compiled: what cannot be compiled is refused at load, with its position.

import type { ASTNode } from '@marcbachmann/cel-js'
import { nearestName } from '../nearest-name.ts'
import { type Context, compileFunction, compileMethod } from './functions.ts'
import {
  and,
  arithmetic,
  type Binary,
  comparison,
  equality,
  membership,
  negate,
  not,
  or,
  presence,
} from './operators.ts'
import { type ExpressionType, isRecord, sameType, typeName, type Variables } from './scope.ts'
import {
  constant,
  ExpressionError,
  fault,
  isList,
  isUnknown,
  missing,
  type Run,
  type Step,
  type Typed,
  unknownOf,
  type Value,
} from './value.ts'

export interface Program {
  readonly type: ExpressionType
  readonly run: Run
  /** Paths of the fields that it reads: `device.battery_level`, `now`. */
  readonly reads: ReadonlySet<string>
  /** The parts outside loops, outermost first. Not literals, whose value is their text. */
  readonly steps: readonly Step[]
}

/** Throws ExpressionError. */
export function compile(ast: ASTNode, variables: Variables): Program {
  const reads = new Set<string>()
  const steps: Step[] = []
  const { type, run } = compileNode(ast, {
    variables,
    loops: [],
    reads,
    steps,
    depth: 0,
    compile: compileNode,
  })
  return { type, run, reads, steps }
}

function compileNode(node: ASTNode, context: Context): Typed {
  const inner = { ...context, depth: context.depth + 1 }
  if (context.loops.length > 0 || node.op === 'value') return compileOperator(node, inner)
  const before = context.steps.length
  const typed = compileOperator(node, inner)
  const { type, run } = typed
  // A whole comes before its parts, which have been added meanwhile.
  context.steps.splice(before, 0, { start: node.start, end: node.end, depth: context.depth, type, run })
  return typed
}

function compileOperator(node: ASTNode, context: Context): Typed {
  switch (node.op) {
    case 'value':
      return literal(node, node.args)
    case 'id':
      return variable(node.args, node, context)
    case '.':
      return select(node.args[0], node.args[1], node, context)
    case '[]':
      return index(node.args, node, context)
    case '!_': {
      const operand = compileTo('bool', node.args, context)
      return { type: 'bool', run: not(operand.run) }
    }
    case '-_':
      return negate(node, context)
    case '&&':
    case '||': {
      const left = compileTo('bool', node.args[0], context).run
      const right = compileTo('bool', node.args[1], context).run
      return { type: 'bool', run: node.op === '&&' ? and(left, right) : or(left, right) }
    }
    case '?:':
      return ternary(node.args, node, context)
    case '==':
    case '!=':
      return equality(node.op, node.args, node, context)
    case '<':
    case '<=':
    case '>':
    case '>=':
      return comparison(node.op, node.args, node, context)
    case 'in':
      return membership(node.args, node, context)
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return arithmetic(node.op, node.args, node, context)
    case 'list':
      return list(node.args, context)
    case 'call': {
      const [name, args] = node.args
      return name === 'has' ? presence(args, node, context) : compileFunction(name, args, { node, context })
    }
    case 'rcall':
      return compileMethod(node, context)
    default:
      throw new ExpressionError(`maps and optional access (${node.op}) are not supported`, node.pos)
  }
}

function compileTo(type: 'bool', node: ASTNode, context: Context): Typed {
  const typed = context.compile(node, context)
  if (typed.type === type) return typed
  throw new ExpressionError(`expected ${type}, got ${typeName(typed.type)}${presenceHint(typed)}`, node.start)
}

function presenceHint(typed: Typed): string {
  return typed.select === undefined ? '' : ': compare it with something, or ask has(…) whether there is one'
}

// --- literals, variables, fields

function literal(node: ASTNode, value: unknown): Typed {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return constant(typeof value === 'string' ? 'string' : 'bool', value)
    case 'number':
      return constant('double', value)
    case 'bigint':
      if (Number.isSafeInteger(Number(value))) return constant('int', Number(value))
      throw new ExpressionError(`${value} is beyond 2^53`, node.pos)
    default:
      if (value === null) {
        throw new ExpressionError('null can only be compared with a field, by == or !=', node.pos)
      }
      throw new ExpressionError(
        value instanceof Uint8Array
          ? 'bytes are not supported: take away the b before the quote'
          : `unsigned integers are not supported: write ${value}`,
        node.pos,
      )
  }
}

function variable(name: string, node: ASTNode, context: Context): Typed {
  const loop = context.loops.findLast((candidate) => candidate.name === name)
  if (loop !== undefined) return { type: loop.type, run: () => loop.current }
  const field = Object.hasOwn(context.variables, name) ? context.variables[name] : undefined
  if (field === undefined) throw unknownVariable(name, node, context)
  if (typeof field.type === 'string') context.reads.add(name)
  return { type: field.type, run: readVariable(name) }
}

// One closure each, because a property that is named in the code is found several times as fast as
// one whose name is a value.
function readVariable(name: string): Run {
  switch (name) {
    case 'device':
      return (scope) => scope.device ?? fault
    case 'user':
      return (scope) => scope.user ?? fault
    case 'walk':
      return (scope) => scope.walk ?? fault
    case 'group':
      return (scope) => scope.group ?? fault
    case 'now':
      return (scope) => scope.now
    case 'matching':
      return (scope) => scope.matching ?? fault
    case 'total':
      return (scope) => scope.total ?? fault
    case 'unknown':
      return (scope) => scope.unknown ?? fault
    default:
      return (scope) => scope.ratio ?? fault
  }
}

function unknownVariable(name: string, node: ASTNode, { variables, loops }: Context): ExpressionError {
  const words: Readonly<Record<string, string>> = {
    True: 'true',
    False: 'false',
    None: 'null',
    nil: 'null',
    undefined: 'null',
  }
  const word = Object.hasOwn(words, name) ? words[name] : undefined
  const names = [...loops.map((loop) => loop.name), ...Object.keys(variables)]
  const suggestion = word ?? fieldPaths(name, variables)[0] ?? nearestName(name, names)
  const way = suggestion === undefined ? `in scope are ${names.join(', ')}` : `did you mean ${suggestion}?`
  return new ExpressionError(`unknown name ${name}: ${way}`, node.pos)
}

/** Where a field of this name is found: `device.battery_level`. */
function fieldPaths(name: string, variables: Variables): string[] {
  return Object.entries(variables).flatMap(([variableName, { type }]) =>
    isRecord(type) && Object.hasOwn(type.fields, name) ? [`${variableName}.${name}`] : [],
  )
}

function select(recordNode: ASTNode, name: string, node: ASTNode, context: Context): Typed {
  const record = context.compile(recordNode, context)
  if (!isRecord(record.type)) {
    throw new ExpressionError(`${typeName(record.type)} has no field ${name}`, node.pos)
  }
  const { fields } = record.type
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (field === undefined) {
    const nearest = nearestName(name, Object.keys(fields)) ?? fieldPaths(name, context.variables)[0]
    const known = Object.keys(fields).length <= 12 ? `: it has ${Object.keys(fields).join(', ')}` : ''
    const way = nearest === undefined ? known : `: did you mean ${nearest}?`
    const owner = node.input.slice(recordNode.start, recordNode.end)
    throw new ExpressionError(`${owner} has no field ${name}${way}`, node.pos)
  }
  const root = recordNode.op === 'id' && Object.hasOwn(context.variables, recordNode.args)
  if (root) context.reads.add(`${recordNode.args}.${name}`)
  const isRootVariable = root && !context.loops.some((loop) => loop.name === recordNode.args)
  const { missingValue, derive } = field
  const stored = isRootVariable ? readField(recordNode.args, name) : readFieldOf(record.run, name)
  const raw = derive === undefined ? stored : derived(record.run, derive)
  const run: Run =
    missingValue === undefined
      ? raw
      : (scope) => {
          const value = raw(scope)
          return value === missingValue ? missing : value
        }
  const present: Run = (scope) => {
    const owner = record.run(scope)
    if (isUnknown(owner)) return owner
    return run(scope) !== missing
  }
  return { type: field.type, run, select: { field, present, raw } }
}

// Spelt out for the variables that rules read most, for the reason given at readVariable.
function readField(variableName: string, name: string): Run {
  switch (variableName) {
    case 'device':
      return (scope) => fieldValue(scope.device, name)
    case 'user':
      return (scope) => fieldValue(scope.user, name)
    default:
      return readFieldOf(readVariable(variableName), name)
  }
}

function readFieldOf(record: Run, name: string): Run {
  return (scope) => {
    const owner = record(scope)
    return typeof owner === 'object' ? fieldValue(owner, name) : unknownOf(owner)
  }
}

function derived(record: Run, derive: (record: object) => string): Run {
  return (scope) => {
    const owner = record(scope)
    return typeof owner === 'object' ? derive(owner) : unknownOf(owner)
  }
}

function fieldValue(record: object | undefined, name: string): Value {
  if (record === undefined) return fault
  const value = (record as Readonly<Record<string, Value | null | undefined>>)[name]
  return value ?? missing
}

function index([ownerNode, keyNode]: Binary, node: ASTNode, context: Context): Typed {
  const owner = context.compile(ownerNode, context)
  const key = context.compile(keyNode, context)
  if (isRecord(owner.type) && typeof key.literal === 'string') {
    return select(ownerNode, key.literal, node, context)
  }
  if (typeof owner.type !== 'object' || owner.type.kind !== 'list' || owner.type.element === null) {
    throw new ExpressionError(`${typeName(owner.type)} cannot be indexed by ${typeName(key.type)}`, node.pos)
  }
  if (key.type !== 'int') {
    throw new ExpressionError(`a list is indexed by int, not by ${typeName(key.type)}`, keyNode.start)
  }
  const run: Run = (scope) => {
    const elements = owner.run(scope)
    const at = key.run(scope)
    if (!isList(elements) || typeof at !== 'number') return unknownOf(elements, at)
    return elements[at] ?? fault
  }
  return { type: owner.type.element, run }
}

function list(nodes: readonly ASTNode[], context: Context): Typed {
  const elements = nodes.map((node) => context.compile(node, context))
  const [first] = elements
  if (first === undefined) return { type: { kind: 'list', element: null }, run: () => [] }
  for (const [position, element] of elements.entries()) {
    if (sameType(first.type, element.type)) continue
    const names = `${typeName(first.type)} and ${typeName(element.type)}`
    throw new ExpressionError(
      `a list of ${names}: its elements have to be of one type`,
      nodes[position]?.start ?? 0,
    )
  }
  const type: ExpressionType = { kind: 'list', element: first.type }
  const literals = elements.flatMap((element) => (element.literal === undefined ? [] : [element.literal]))
  if (literals.length === elements.length) return { type, run: () => literals, elements }
  const runs = elements.map((element) => element.run)
  return {
    type,
    elements,
    run: (scope) => {
      const values: Value[] = []
      for (const run of runs) {
        const value = run(scope)
        if (isUnknown(value)) return value
        values.push(value)
      }
      return values
    },
  }
}

function ternary(
  [conditionNode, thenNode, elseNode]: readonly [ASTNode, ASTNode, ASTNode],
  node: ASTNode,
  context: Context,
): Typed {
  const condition = compileTo('bool', conditionNode, context).run
  const then = context.compile(thenNode, context)
  const otherwise = context.compile(elseNode, context)
  if (!sameType(then.type, otherwise.type)) {
    const names = `${typeName(then.type)} and ${typeName(otherwise.type)}`
    throw new ExpressionError(`both results of ?: have to be of one type, not ${names}`, node.start)
  }
  const run: Run = (scope) => {
    const holds = condition(scope)
    if (holds === true) return then.run(scope)
    return holds === false ? otherwise.run(scope) : unknownOf(holds)
  }
  return { type: then.type, run }
}
