// `kill -9` at random moments, fifty times, while devices break and heal. The service is a process of its
// own; the partner, Slack, the mail server and a webhook live in this one and see everything that it tells.
//
// What a process told last may have been under way when it was killed: it arrived, and that was not yet
// remembered. So one message per receiver and kill may come again, and none besides.
//
// Terms: an *episode* is one break of one device, from its beginning to its end; it has a number that every
// message about it carries. A *life* of the service lasts from one start to the next.
//
// The same seed draws the same moments; what happens in them depends on the machine, too.

import type { SimulatedDevice } from '../../src/simulator/fleet.ts'
import { allTold, pause, type Service, startWorld, story, type Told, until, type World } from './harness.ts'

export const kills = 50
const quietKills = 2
const brokenAtOnce = 6
const meanLifeMs = 450
const longestLifeMs = 3_000

export const episodeRules = `
groups:
  - name: scenario
    rules:
      - alert: DeviceLost
        expr: "!device.is_authenticated"
        for: 0s
        keep_firing_for: 0s
        labels: {severity: critical}
        annotations: {summary: "{{ device.id }} {{ device.comment }}"}
`

/** Lets all of it happen, and says what was told wrongly: nothing, it is hoped. */
export async function killOverAndOver(
  seed: number,
): Promise<{ episodes: number; faults: readonly string[] }> {
  await using world = await startWorld({ rules: episodeRules })
  await world.configure({
    poll: { schedule: '* * * * * *', recheck_interval: '1s' },
    alerting: {
      // Each alert is a group, so that a message is about one episode.
      route: { group_by: ['...'], group_wait: '0s', group_interval: '1s', repeat_interval: '1h' },
      receivers: [
        {
          name: 'on-call',
          slack_configs: [{}],
          email_configs: [{ to: 'on-call@example.com' }],
          webhook_configs: [{ url: world.webhooks.url('on-call') }],
        },
      ],
    },
  })
  // What is compiled is kept at the end of a process; who is killed keeps nothing.
  await world.runCommand(['check', '--config', world.configFile])

  const lives: number[] = []
  const start = (): Service => {
    lives.push(world.clock.now())
    return world.startService()
  }
  const log = createEpisodeLog(world)
  const chaos = { isOver: false }
  const broken = Array.from({ length: brokenAtOnce }, (_, n) => world.device(n % 4, n % 3))
  const breaking = Promise.all(
    broken.map((device, n) => breakAndHeal(device, { world, log, chaos, random: randomFrom(seed + n + 1) })),
  )
  // Awaited at the end: until then a failure must not end this process.
  breaking.catch(() => {})

  const random = randomFrom(seed)
  const startupMs = await firstStartup(start())
  for (let kill = 2; kill <= kills; kill++) await killSomewhen(start(), { startupMs, random })

  chaos.isOver = true
  let service = start()
  await breaking
  await untilSettled(service)
  // All devices are lost now, and everybody knows: a restart has nothing to say.
  const told = allTold(world).length
  for (let kill = 1; kill <= quietKills; kill++) {
    await service.end('SIGKILL')
    service = start()
    await untilSettled(service)
  }
  const afterRestarts = allTold(world).slice(told)
  for (const device of broken) world.heal(device)
  await until('the last episodes have ended for everybody', () =>
    log.running().every((one) => log.isTold(one, 'resolved')),
  )
  await untilSettled(service)

  const faults = faultsIn(allTold(world), log, lives)
  for (const { title } of afterRestarts) faults.push(`told because of a restart alone: ${title}`)
  return { episodes: log.all().length, faults }
}

/** The first life, killed as soon as it runs: how long that took. */
async function firstStartup(service: Service): Promise<number> {
  const startedAt = performance.now()
  await service.url()
  const startupMs = performance.now() - startedAt
  await service.end('SIGKILL')
  return startupMs
}

async function killSomewhen(
  service: Service,
  { startupMs, random }: { startupMs: number; random: () => number },
): Promise<void> {
  if (random() < 0.25) {
    await pause(random() * startupMs)
  } else {
    await service.url()
    await pause(Math.min(longestLifeMs, -Math.log(1 - random()) * meanLifeMs))
  }
  await service.end('SIGKILL')
  // What was still on its way belongs to this life.
  await pause(30)
}

/** Two walks, and so at least one tick of each group, with all messages delivered. */
async function untilSettled(service: Service): Promise<void> {
  await service.url()
  const walks = () => service.logs.filter(({ msg }) => msg === 'Walk ended').length
  // The one that is under way may have begun before what this waits for.
  const enough = walks() + 2
  await until('two walks ended', () => walks() >= enough, { detail: service.output })
  await until(
    'everything is delivered',
    async () => (await service.metrics()).value('fleet_notification_queue_length') === 0,
  )
}

interface Episode {
  readonly device: SimulatedDevice
  readonly number: number
}

/**
 * Breaks a device and heals it, over and over. An episode is never so short that it need not be told: it
 * ends when at least one receiver knows, which means that the messages to the others were saved with it.
 */
export async function breakAndHeal(
  device: SimulatedDevice,
  {
    world,
    log,
    chaos,
    random,
  }: { world: World; log: EpisodeLog; chaos: { isOver: boolean }; random: () => number },
): Promise<void> {
  const detail = () => story(world)
  for (;;) {
    const episode = log.begin(device)
    world.fleet.changeDevice(device, { comment: label(episode) }, world.clock.now())
    world.lose(device)
    const isHasty = random() < 0.5
    const who = isHasty ? log.isToldToAny : log.isTold
    await until(`${label(episode)} is told`, () => who(episode, 'firing'), { withinMs: 120_000, detail })
    await pause(random() * 500)
    if (chaos.isOver) {
      await until(`${label(episode)} is told to all`, () => log.isTold(episode, 'firing'), {
        withinMs: 60_000,
        detail,
      })
      return
    }
    world.heal(device)
    await until(`${label(episode)} is told as ended`, () => log.isTold(episode, 'resolved'), {
      withinMs: 120_000,
      detail,
    })
    await pause(random() * 500)
  }
}

export type EpisodeLog = ReturnType<typeof createEpisodeLog>

/** Which messages about an episode arrived where. */
export function createEpisodeLog(world: World) {
  const episodes: Episode[] = []

  function messages({
    receiver,
    episode,
    state,
  }: {
    receiver?: string
    episode: Episode
    state?: string
  }): Told[] {
    const words = new RegExp(`${label(episode)}\\b`)
    return allTold(world).filter(
      (told) =>
        (receiver === undefined || told.receiver === receiver) &&
        (state === undefined || told.state === state) &&
        words.test(told.text),
    )
  }
  const knows = (receiver: string, episode: Episode, state: 'firing' | 'resolved') =>
    messages({ receiver, episode, state }).length > 0 ||
    (state === 'firing' && messages({ receiver, episode }).some(wasLate))

  return {
    begin(device: SimulatedDevice): Episode {
      const episode = { device, number: episodes.length + 1 }
      episodes.push(episode)
      return episode
    },
    all: () => episodes,
    /** The last episode of each device. */
    running: () => [...new Map(episodes.map((episode) => [episode.device.id, episode])).values()],
    messages,
    isTold: (episode: Episode, state: 'firing' | 'resolved') =>
      receivers.every((receiver) => knows(receiver, episode, state)),
    isToldToAny: (episode: Episode, state: 'firing' | 'resolved') =>
      receivers.some((receiver) => knows(receiver, episode, state)),
  }
}

export const receivers = ['slack', 'mail', 'webhook'] as const
// A life needs longer than this before it can send anything.
const shortestStartMs = 150

/** What is wrong with what was told, in words. */
function faultsIn(all: readonly Told[], log: EpisodeLog, lives: readonly number[]): string[] {
  const faults: string[] = []
  const lifeOf = ({ receivedAt }: Told) => lives.findLastIndex((at) => receivedAt >= at + shortestStartMs)
  for (const receiver of receivers) {
    const ofReceiver = all.filter((told) => told.receiver === receiver)
    const lastOfLife = new Map(ofReceiver.map((told) => [lifeOf(told), told.id]))
    for (const episode of log.all()) {
      const about = `${label(episode)} at ${receiver}`
      const firing = log.messages({ receiver, episode, state: 'firing' })
      const resolved = log.messages({ receiver, episode, state: 'resolved' })
      const lateOnes = resolved.filter(wasLate)
      if (firing.length + lateOnes.length === 0) faults.push(`${about}: never told as firing`)
      if (resolved.length === 0) faults.push(`${about}: never told as resolved`)
      if (firing.length === 0 && lateOnes.length < resolved.length)
        faults.push(`${about}: resolved without firing`)
      const [firstResolved] = resolved
      if (firstResolved !== undefined && firing.some((told) => told.receivedAt > firstResolved.receivedAt)) {
        faults.push(`${about}: firing after resolved`)
      }
      for (const copies of [firing, resolved]) {
        const livesOfCopies = copies.map(lifeOf)
        if (new Set(livesOfCopies).size < copies.length) faults.push(`${about}: twice by one process`)
        // Whatever came again was the last that its process told: it was killed before it remembered.
        const again = copies.slice(0, -1).filter((told) => lastOfLife.get(lifeOf(told)) !== told.id)
        if (again.length > 0) {
          const when = livesOfCopies.map((life) => life + 1).join(', ')
          faults.push(`${about}: ${copies.length} times (${copies[0]?.state}), in lives ${when}`)
        }
      }
    }
  }
  const unknown = all.filter((told) => !/episode \d+/.test(told.text))
  for (const { text } of unknown) faults.push(`a message about no episode: ${text}`)
  return faults
}

export function label({ number }: Episode): string {
  return `episode ${number}`
}

/** Told once, as resolved, since it ended before any attempt to say that it fires had succeeded. */
export function wasLate({ text }: Told): boolean {
  return text.includes('It fired and ended before a message about it could be delivered')
}

/** Uniform in [0, 1), the same sequence for the same seed (mulberry32, public domain). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
