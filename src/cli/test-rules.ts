// `fleetwarden test-rules FILE…`: runs unit tests of rules and says what differs, in the manner of
// `promtool test rules`.

import { glob, readFile } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { formatDuration } from '../duration.ts'
import { loadRules, type RuleFile } from '../rules/rule-file.ts'
import { type RuleTestFailure, runRuleTests, unknownAlertNames } from '../rules/rule-test.ts'
import { parseRuleTests, type RuleTestFile } from '../rules/rule-test-file.ts'
import { FileError, type FileProblem } from '../yaml-file.ts'

export interface TestRulesContext {
  readonly print: (line: string) => void
}

/** The exit code: 0 all passed, 1 a test failed, 2 a file cannot be read or is wrong. */
export async function testRules(files: readonly string[], { print }: TestRulesContext): Promise<0 | 1 | 2> {
  const codes: (0 | 1 | 2)[] = []
  for (const file of files) codes.push(await testFile(file, print))
  if (files.length === 0) print('no test files are given')
  if (files.length === 0 || codes.includes(2)) return 2
  return codes.includes(1) ? 1 : 0
}

async function testFile(file: string, print: (line: string) => void): Promise<0 | 1 | 2> {
  try {
    const tests = parseRuleTests(file, await read(file))
    const rules = loadRules(await readRuleFiles(tests))
    const unknown = unknownAlertNames(tests, rules)
    if (unknown.length > 0) throw new FileError(unknown)
    const failures = await runRuleTests(tests, rules)
    const count = tests.tests.length
    print(
      `${file}: ${failures.length === 0 ? 'passed' : 'FAILED'} (${count} ${count === 1 ? 'test' : 'tests'})`,
    )
    for (const failure of failures) report(failure, print)
    return failures.length === 0 ? 0 : 1
  } catch (error) {
    if (!(error instanceof FileError || error instanceof UnreadableFile)) throw error
    print(`${file}: cannot run`)
    for (const line of error.message.split('\n')) print(`  ${line}`)
    return 2
  }
}

function report(failure: RuleTestFailure, print: (line: string) => void): void {
  const { file, line, column, test, alertname, evalTimeMs, expected, got, unknown } = failure
  print(`  ${file}:${line}:${column}: ${test}`)
  print(`    ${alertname} after ${formatDuration(evalTimeMs)}`)
  print('      expected:')
  reportAlerts(expected, print)
  print('      got:')
  reportAlerts(got, print)
  for (const reason of unknown) print(`      ${reason}`)
}

function reportAlerts(alerts: readonly string[], print: (line: string) => void): void {
  if (alerts.length === 0) print('        nothing more')
  for (const alert of alerts) for (const line of alert.split('\n')) print(`        ${line}`)
}

class UnreadableFile extends Error {
  readonly kind = 'unreadable_file'
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause
    throw new UnreadableFile(`${file} cannot be read (${reason})`, { cause })
  }
}

/** The rule files that a test file names, relative to itself; test files beside them are none. */
async function readRuleFiles({ file, ruleFiles }: RuleTestFile): Promise<readonly RuleFile[]> {
  const directory = dirname(file)
  const paths = new Set<string>()
  const problems: FileProblem[] = []
  for (const { pattern, line, column } of ruleFiles) {
    const matching: string[] = []
    for await (const path of glob(pattern, { cwd: directory })) {
      if (!/\.test\.ya?ml$/.test(path)) matching.push(path)
    }
    for (const path of matching.sort()) paths.add(shownPath(resolve(directory, path)))
    if (matching.length === 0)
      problems.push({ file, line, column, message: `no rule file matches ${pattern}` })
  }
  if (problems.length > 0) throw new FileError(problems)
  return Promise.all([...paths].map(async (path) => ({ file: path, text: await read(path) })))
}

/** As short as can be: relative to where the command runs, unless that would lead upwards. */
function shownPath(path: string): string {
  const shorter = relative('', path)
  return shorter.startsWith('..') ? path : shorter
}
