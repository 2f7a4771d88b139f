// What a rule costs for a device, beside the same rule written by hand, and whether anything of it
// stays in memory.

import type { Evaluated, EvaluationChildOptions } from './evaluation-child.ts'
import { type Benchmark, median, type Report, rounded, startChild } from './harness.ts'

const rounds = 9
const mostRatio = 8
// "Nothing" within what the engine itself keeps moving: a number per device would be 8.
const mostRetained = 0.5

export const evaluation: Benchmark = {
  name: 'evaluation',
  about: 'the shipped device rules, against the same predicates written by hand',
  run,
}

async function run(): Promise<Report> {
  const large = await measure({ users: 40_000, repeats: 1 })
  const small = await measure({ users: 400, repeats: 100 })
  const retained = Math.max(large.retainedPerDevice, small.retainedPerDevice)
  return {
    tables: [
      {
        head: ['devices', 'rules each', 'rule ns', 'by hand ns', 'ratio', 'evaluator ns/device'],
        rows: [large, small].map((each) => [
          String(each.devices),
          rounded(each.evaluations / each.devices),
          rounded(median(each.rules)),
          rounded(median(each.handWritten)),
          rounded(ratio(each)),
          median(each.evaluatorPerDevice).toFixed(0),
        ]),
      },
    ],
    figures: [
      { name: `rule / by hand, ${large.devices} devices`, value: ratio(large), limit: mostRatio, unit: 'x' },
      { name: 'bytes retained per device evaluated', value: retained, limit: mostRetained },
      { name: 'rules whose verdict differs from the one by hand', value: large.mistakes.length, limit: 0 },
    ],
    notes: [
      `Medians of ${rounds} rounds, taking turns. Many devices miss the processor's caches, few are in them: a`,
      'predicate by hand is then nearly nothing, so that the ratio says little and is not held to the limit.',
      'The evaluator counts the fleet and looks for active alerts too; its devices are healthy, as nearly all are.',
      ...large.mistakes.map((alert) => `${alert} by hand says something else than the rule`),
    ],
  }
}

function ratio({ rules, handWritten }: Evaluated): number {
  return median(rules.map((ns, round) => ns / (handWritten[round] ?? Number.NaN)))
}

async function measure(size: { users: number; repeats: number }): Promise<Evaluated> {
  const options: EvaluationChildOptions = { ...size, rounds }
  const { child, ready } = startChild<object, Evaluated>('./evaluation-child.ts', options, ['--expose-gc'])
  await using evaluating = child
  await ready
  return await evaluating.ask({})
}
