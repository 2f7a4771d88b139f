import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ruleFileJsonSchema } from '../../src/rules/rule-schema.ts'
import { ruleTestJsonSchema } from '../../src/rules/rule-test-file.ts'

// When one fails: fleetwarden schema prints the new one, or `vitest run -u` writes it.
test.each([
  ['rules', ruleFileJsonSchema],
  ['rule-tests', ruleTestJsonSchema],
])('schemas/%s.schema.json is that of the code', async (name, schema) => {
  await expect(`${JSON.stringify(schema(), null, 2)}\n`).toMatchFileSnapshot(
    `../../schemas/${name}.schema.json`,
  )
})

test('the schemas describe every field', () => {
  const text = readFileSync(new URL('../../schemas/rules.schema.json', import.meta.url), 'utf8')
  expect(text).toContain('device_types')
  expect(text).not.toContain('"$ref"')
})
