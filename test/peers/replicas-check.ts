// Three replicas that are killed, paused, restarted and cut off, over and over, while devices break and
// heal: what is told has to be what a single process would have told, with at most one repeat of each message.
//
//   node bin/node24.js test/peers/replicas-check.ts [rounds] [seed]

import process from 'node:process'
import { allTold, type ConfigParts, pause, type Service, until, type World } from '../scenarios/harness.ts'
import {
  breakAndHeal,
  createEpisodeLog,
  type EpisodeLog,
  episodeRules,
  label,
  randomFrom,
  receivers,
  wasLate,
} from '../scenarios/kills.ts'
import { inRealTime, startReplicas, untilShared } from '../scenarios/replica-world.ts'

const rounds = Number(process.argv[2] ?? 1)
const seed = Number(process.argv[3] ?? 7)

const { episodes, messages, disruptions, faults, timeline } = await disruptOverAndOver()
process.stdout.write(`${episodes} episodes, ${messages} messages, ${disruptions} disruptions\n`)
if (faults.length > 0) process.stdout.write(`${timeline.join('\n')}\n`)
for (const fault of faults) process.stdout.write(`WRONG: ${fault}\n`)
process.stdout.write(`${faults.length} faults\n`)
process.exitCode = faults.length === 0 ? 0 : 1

async function disruptOverAndOver() {
  await using replicas = await startReplicas(3, {
    rules: episodeRules,
    fleet: { users: 60 },
    config: ({ webhooks }) => ({
      alerting: {
        ...(inRealTime['alerting'] as ConfigParts),
        receivers: [
          {
            name: 'on-call',
            slack_configs: [{}],
            email_configs: [{ to: 'on-call@example.com' }],
            webhook_configs: [{ url: webhooks.url('on-call') }],
          },
        ],
      },
    }),
  })
  const { world, proxy, server, services } = replicas
  await untilShared(replicas)
  const random = randomFrom(seed)
  const log = createEpisodeLog(world)
  const chaos = { isOver: false }
  const broken = Array.from({ length: 6 }, (_, n) => world.device(n * 9, n % 3))
  const breaking = Promise.all(
    broken.map((device, n) => breakAndHeal(device, { world, log, chaos, random: randomFrom(n + 1) })),
  )
  // Awaited at the end: until then a failure must not end this process.
  breaking.catch(() => {})

  const timeline: string[] = []
  const note = (what: string) => void timeline.push(`${timeOf(world.clock.now())} ${what}`)
  const disrupt = async (what: string, happens: () => Promise<unknown>) => {
    note(what)
    await happens()
    note('…')
    await pause(500 + random() * 1_500)
  }
  const kill = async (service: Service) => {
    await service.end('SIGKILL')
    // What was still on its way belongs to it.
    await pause(30)
    replicas.replace(service)
  }
  const pauseFor = async (service: Service, ms: number) => {
    service.child.kill('SIGSTOP')
    await pause(ms)
    service.child.kill('SIGCONT')
  }
  const all: Readonly<Record<string, () => Promise<unknown>>> = {
    'the leader is killed': async () => kill(await replicas.leader()),
    'another one is killed': async () => kill((await replicas.followers())[0]!),
    'all connections are cut': async () => proxy.cutAll(),
    'one is cut between a commit and its answer': async () => {
      proxy.cutAfter('COMMIT\0')
      await pause(1_000)
    },
    'one is cut in a transaction': async () => {
      proxy.cutBefore('INSERT INTO')
      await pause(1_000)
    },
    // Longer than the lease: another one leads when it wakes.
    'the leader is paused': async () => pauseFor(await replicas.leader(), 13_000),
    'another one is paused': async () => pauseFor((await replicas.followers())[0]!, 3_000),
    'the database is restarted': async () => {
      await server.crash()
      await pause(500)
      await server.start()
    },
    'all are restarted in turn': async () => {
      for (const service of [...services]) {
        await service.end('SIGTERM')
        await replicas.replace(service).url()
      }
    },
  }
  for (let round = 0; round < rounds; round++) {
    for (const [what, happens] of shuffled(Object.entries(all), random)) await disrupt(what, happens)
  }

  chaos.isOver = true
  await breaking.catch((error) => {
    throw new Error(`${error.message}\n${replicas.detail()}`, { cause: error })
  })
  for (const device of broken) world.heal(device)
  await until(
    'the last episodes have ended for everybody',
    () => log.running().every((one) => log.isTold(one, 'resolved')),
    { withinMs: 60_000, detail: replicas.detail },
  )
  await replicas.walksEnd(2)
  const disruptions = rounds * Object.keys(all).length
  const faults = faultsIn(world, log, disruptions)
  const messages = allTold(world)
  for (const { receiver, state, text, receivedAt } of messages) {
    timeline.push(`${timeOf(receivedAt)} ${receiver}: ${/episode \d+/.exec(text)?.[0]} ${state}`)
  }
  return {
    ...{ episodes: log.all().length, messages: messages.length, disruptions, faults },
    timeline: timeline.sort(),
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().slice(11, 23)
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const left = [...items]
  return items.map(() => left.splice(Math.floor(random() * left.length), 1)[0]!)
}

/** What is wrong with what was told, in words. */
function faultsIn(world: World, log: EpisodeLog, disruptions: number): string[] {
  const faults: string[] = []
  for (const receiver of receivers) {
    let repeats = 0
    for (const episode of log.all()) {
      const about = `${label(episode)} at ${receiver}`
      const firing = log.messages({ receiver, episode, state: 'firing' })
      const resolved = log.messages({ receiver, episode, state: 'resolved' })
      const isLate = resolved.some(wasLate)
      if (firing.length === 0 && !isLate) faults.push(`${about}: never told as firing`)
      if (resolved.length === 0) faults.push(`${about}: never told as resolved`)
      if (firing.length > 2) faults.push(`${about}: firing ${firing.length} times`)
      if (resolved.length > 2) faults.push(`${about}: resolved ${resolved.length} times`)
      const [firstResolved] = resolved
      if (
        firstResolved !== undefined &&
        firing.some(({ receivedAt }) => receivedAt > firstResolved.receivedAt)
      ) {
        faults.push(`${about}: firing after resolved`)
      }
      repeats += Math.max(0, firing.length - 1) + Math.max(0, resolved.length - 1)
    }
    if (repeats > disruptions) faults.push(`${receiver}: ${repeats} repeats for ${disruptions} disruptions`)
  }
  const unknown = allTold(world).filter((told) => !/episode \d+/.test(told.text))
  for (const { text } of unknown) faults.push(`a message about no episode: ${text}`)
  return faults
}
