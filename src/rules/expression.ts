// A CEL (Common Expression Language) expression of a rule: parsed, checked and compiled when the
// rule is loaded, so that whatever is wrong with it is known then, with its position.
//
// cel-js parses and checks types in a strict environment of declared fields; compile.ts checks
// again, with better words, and makes the closures that are evaluated. What either does not
// understand is refused. An evaluation never throws and never waits; what it cannot know is
// `missing_field`, what it cannot compute `rule_error`.

import { Environment, ParseError } from '@marcbachmann/cel-js'
import type { Verdict } from '../fleet/verdict.ts'
import { compile, type Program } from './compile.ts'
import type { TracedStep } from './rule.ts'
import { type ExpressionType, type Field, typeName, type Variables } from './scope.ts'
import { ExpressionError, isPrintable, missing, type Scope, valueText } from './value.ts'

export interface Expression extends Program {
  readonly source: string
}

// An expression is read by people and evaluated for each device of the fleet.
const limits = { maxAstNodes: 256, maxDepth: 24, maxListElements: 128, maxCallArguments: 8 }

/** Throws ExpressionError with the offset in `source`. */
export function parseExpression(source: string, variables: Variables): Expression {
  const environment = environmentOf(variables)
  const parsed = parse(environment, source)
  const program = compile(parsed.ast, variables)
  const checked = parsed.check()
  if (!checked.valid) {
    throw new ExpressionError(
      checked.error?.summary ?? 'this expression is not valid',
      checked.error?.range?.start ?? 0,
      { cause: checked.error },
    )
  }
  return { source, ...program }
}

/** As parseExpression; the result has to be true or false. */
export function parseCondition(source: string, variables: Variables): Expression {
  const expression = parseExpression(source, variables)
  if (expression.type !== 'bool') {
    throw new ExpressionError(
      `the result has to be true or false, but is of type ${typeName(expression.type)}`,
      rootOffset(expression),
    )
  }
  return expression
}

/** How a rule asks: `S` is the scope of the variables that the expression was parsed with. */
export function verdictOf<S extends Scope>({ run }: Expression): (scope: S) => Verdict {
  return (scope) => {
    const value = run(scope)
    if (value === true || value === false) return value
    return value === missing ? 'missing_field' : 'rule_error'
  }
}

/** The value of the whole and of each part outside loops, a whole before its parts. */
export function traceExpression({ source, steps }: Expression, scope: Scope): readonly TracedStep[] {
  return steps
    .filter(({ type }) => isPrintable(type))
    .map(({ start, end, depth, type, run }) => {
      const value = run(scope)
      const text = valueText(value, type) ?? (value === missing ? 'unknown' : 'error')
      return { source: balanced(source, start, end), depth, text }
    })
}

function rootOffset({ steps }: Expression): number {
  return steps[0]?.start ?? 0
}

// --- what cel-js has to know

// By variables, since making an environment takes far longer than parsing with it.
const environments = new WeakMap<Variables, Environment>()

/** The strict environment in which expressions are checked. */
export function environmentOf(variables: Variables): Environment {
  const known = environments.get(variables)
  if (known !== undefined) return known
  const environment = new Environment({ unlistedVariablesAreDyn: false, limits })
  addMixedOperators(environment)
  const registered = new Set<string>()
  for (const [name, { type }] of Object.entries(variables)) {
    environment.registerVariable(name, registerType(environment, type, registered))
  }
  environments.set(variables, environment)
  return environment
}

/** Registers records before what holds them; answers CEL's name of the type. */
function registerType(environment: Environment, type: ExpressionType, registered: Set<string>): string {
  if (type === 'timestamp') return 'google.protobuf.Timestamp'
  if (type === 'duration') return 'google.protobuf.Duration'
  if (typeof type === 'string') return type
  if (type.kind === 'list') {
    return type.element === null ? 'list' : `list<${registerType(environment, type.element, registered)}>`
  }
  if (registered.has(type.name)) return type.name
  registered.add(type.name)
  const fieldType = ([name, field]: [string, Field]) => [
    name,
    registerType(environment, field.type, registered),
  ]
  environment.registerType(type.name, {
    fields: Object.fromEntries(Object.entries(type.fields).map(fieldType)),
  })
  return type.name
}

/**
 * JSON has no ints, and a literal 5 is no double: without these, `x + 1` and `x == 5` would be type
 * errors. Null may be compared with any field.
 */
function addMixedOperators(environment: Environment): void {
  const mixed: Readonly<Record<string, (a: number, b: number) => number>> = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
  }
  for (const [op, compute] of Object.entries(mixed)) {
    const handler = (a: unknown, b: unknown) => compute(Number(a), Number(b))
    environment.registerOperator(`double ${op} int: double`, handler)
    environment.registerOperator(`int ${op} double: double`, handler)
  }
  environment.registerOperator('double == int: bool', (a, b) => Number(a) === Number(b))
  const isIn = (value: unknown, list: readonly unknown[]) =>
    list.some((element) => Number(element) === Number(value))
  environment.registerOperator('double in list<int>: bool', isIn)
  environment.registerOperator('int in list<double>: bool', isIn)
  environment.registerOperator('dyn == null: bool', (value) => value === null)
}

// --- parsing

function parse(environment: Environment, source: string): ReturnType<Environment['parse']> {
  if (source.trim() === '') throw new ExpressionError('an expression is missing', 0)
  try {
    return environment.parse(source)
  } catch (error) {
    if (!(error instanceof ParseError)) throw error
    const offset = error.range?.start ?? 0
    throw new ExpressionError(parseHint(source, offset) ?? parseMessage(error), offset, { cause: error })
  }
}

function parseMessage({ code, summary }: ParseError): string {
  const tokens: Readonly<Record<string, string>> = {
    EOF: 'the end',
    RPAREN: ')',
    LPAREN: '(',
    RBRACKET: ']',
    LBRACKET: '[',
    RBRACE: '}',
    LBRACE: '{',
    IDENTIFIER: 'a name',
    COMMA: ',',
    COLON: ':',
    DOT: '.',
  }
  if (code === 'limit_exceeded') return `too long or too deep: ${summary.replace('Exceeded', 'more than')}`
  const words = summary.replace(/\b[A-Z]{3,}\b/g, (token) => tokens[token] ?? token.toLowerCase())
  return words.slice(0, 1).toLowerCase() + words.slice(1)
}

/** What somebody used to another language most likely means at the place where parsing stopped. */
function parseHint(source: string, offset: number): string | undefined {
  const before = source.slice(0, offset)
  const at = source.slice(offset)
  const word = /^\w+/.exec(at)?.[0]
  const previous = /(\w+)\s*$/.exec(before)?.[1]
  const operators: Readonly<Record<string, string>> = { and: '&&', or: '||', not: '!', is: '==' }
  const meant =
    operators[word?.toLowerCase() ?? ''] ??
    (word === undefined ? undefined : operators[previous?.toLowerCase() ?? ''])
  if (meant !== undefined)
    return `write ${meant} for ${operators[word?.toLowerCase() ?? ''] ? word : previous}`
  if (at.startsWith('=')) return before.endsWith('==') ? 'write == for ===' : 'write == to compare'
  if (at.startsWith('&')) return 'write && for &'
  if (at.startsWith('|')) return 'write || for |'
  if (before.endsWith('<') && at.startsWith('>')) return 'write != for <>'
  if (at.startsWith('$')) return 'variables are written without $, such as device.manufacturer'
  return undefined
}

// --- source text of a part

/**
 * A node's range leaves out the parentheses around its first and last operand; this puts back those
 * that belong to it.
 */
function balanced(source: string, start: number, end: number): string {
  let from = start
  let to = end
  for (;;) {
    const { open, close } = unmatched(source.slice(from, to))
    if (open === 0 && close === 0) return source.slice(from, to)
    const next = close > 0 ? source.lastIndexOf('(', from - 1) : source.indexOf(')', to)
    if (next === -1) return source.slice(start, end)
    if (close > 0) from = next
    else to = next + 1
  }
}

function unmatched(text: string): { open: number; close: number } {
  let open = 0
  let close = 0
  for (const [token] of text.matchAll(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[()]/gs)) {
    if (token === '(') open++
    else if (token === ')' && open > 0) open--
    else if (token === ')') close++
  }
  return { open, close }
}
