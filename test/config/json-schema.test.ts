import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { configJsonSchema } from '../../src/cli/schema.ts'

interface Node {
  readonly type?: string | string[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly items?: Node
  readonly additionalProperties?: boolean | Node
  readonly anyOf?: readonly Node[]
  readonly $ref?: string
}

const schema = configJsonSchema() as Node & { readonly definitions?: Readonly<Record<string, Node>> }

/** Every key that the schema knows, as a dotted path. What repeats inside itself is looked at once. */
function keys(node: Node, path: string[] = [], inside: readonly string[] = []): [string, Node][] {
  if (node.$ref !== undefined) {
    const name = node.$ref.replace('#/definitions/', '')
    const target = schema.definitions?.[name]
    if (target === undefined) throw new Error(`nothing at ${node.$ref}`)
    return inside.includes(name) ? [] : keys(target, path, [...inside, name])
  }
  const own = Object.entries(node.properties ?? {}).flatMap(([key, child]): [string, Node][] => [
    [[...path, key].join('.'), child],
    ...keys(child, [...path, key], inside),
  ])
  return [
    ...own,
    ...(node.items ? keys(node.items, path, inside) : []),
    ...(node.anyOf ?? []).flatMap((one) => keys(one, path, inside)),
  ]
}

const example = await readFile(new URL('../../fleetwarden.example.yaml', import.meta.url), 'utf8')

test('the committed schema is the one that the code has (else run this test with --update)', async () => {
  const text = `${JSON.stringify(configJsonSchema(), null, 2)}\n`
  await expect(text).toMatchFileSnapshot('../../schemas/config.schema.json')
})

test('is of draft 7, which editors understand', () => {
  expect(configJsonSchema()['$schema']).toBe('http://json-schema.org/draft-07/schema#')
})

test.each(keys(schema))('%s has a description', (_, node) => {
  expect(node.description).toMatch(/^[A-Z*].*\.\)?$/)
})

test('knows every object to the end', () => {
  for (const [, node] of [['', schema] as const, ...keys(schema)]) {
    if (node.properties) expect(node.additionalProperties).toBe(false)
  }
})

test.each(keys(schema))('the example shows %s', (path) => {
  expect(example).toMatch(new RegExp(`\\b${path.split('.').at(-1)}:`))
})

test('accepts the example, and refuses a misspelt key in it', () => {
  const reader = z.fromJSONSchema(configJsonSchema() as Parameters<typeof z.fromJSONSchema>[0])
  expect(reader.safeParse(parse(example)).error).toBeUndefined()
  expect(reader.safeParse(parse(example.replace('group_wait:', 'group_wiat:'))).success).toBe(false)
})
