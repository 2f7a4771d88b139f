// What `explain` says is told next, asked of the service through its API.

import { it, vi } from 'vitest'
import { allTold, startWorld, until } from './harness.ts'

vi.setConfig({ testTimeout: 60_000 })

interface Explained {
  readonly alerts: readonly {
    readonly fingerprint: string
    readonly groups: readonly { readonly next: readonly { readonly what: string }[] }[]
  }[]
}

it('promises no repeat of what is silenced or acknowledged', async ({ expect }) => {
  await using world = await startWorld({
    factor: 120,
    config: {
      poll: { schedule: '* * * * *' },
      alerting: { route: { group_wait: '10s', group_interval: '1m', repeat_interval: '4h' } },
    },
  })
  const device = world.device(0)
  world.lose(device)
  await using running = await world.startApp()
  await until('both are told of it', () => allTold(world).length >= 2)

  const call = async (path: string, body?: unknown) => {
    const headers = { 'Content-Type': 'application/json' }
    const init = body === undefined ? {} : { method: 'POST', headers, body: JSON.stringify(body) }
    const response = await fetch(running.url + path, init)
    expect(response.status).toBe(200)
    return response.json()
  }
  const explained = async () => {
    const { alerts } = (await call(`/api/v1/explain/${device.id}`)) as Explained
    const [alert] = alerts
    return {
      fingerprint: alert?.fingerprint,
      next: alert?.groups.flatMap(({ next }) => next.map(({ what }) => what)),
    }
  }
  const repeat = expect.stringMatching(/^"repeat" at .+ if nothing changes$/)
  const told = await until('its repeat is foreseen', async () => {
    const now = await explained()
    return now.next?.every((what) => what.startsWith('"repeat"')) ? now : undefined
  })
  expect(told.next).toEqual([repeat, repeat])

  await call(`/api/v1/alerts/${told.fingerprint}/acknowledgement`, { by: 'ada', comment: 'on my way' })
  const acknowledged = 'no repeat for its sake: it is acknowledged'
  expect((await explained()).next).toEqual([acknowledged, acknowledged])

  const at = world.clock.now()
  await call('/api/v2/silences', {
    matchers: [{ name: 'device_id', value: device.id, isRegex: false }],
    startsAt: new Date(at).toISOString(),
    endsAt: new Date(at + 86_400_000).toISOString(),
    createdBy: 'ada',
    comment: 'is replaced',
  })
  const heldBack = 'nothing: this alert is held back'
  expect((await explained()).next).toEqual([heldBack, heldBack])
})
