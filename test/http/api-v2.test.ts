import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createManualClock, type ManualClock } from '../manual-clock.ts'
import { noon } from '../notify/sample.ts'
import { type ApiServer, startApiServer } from './api-server.ts'
import { fakeConfig } from './fake-alerting.ts'

interface Group {
  readonly labels: Record<string, string>
  readonly receiver: { readonly name: string }
  readonly alerts: readonly { readonly fingerprint: string }[]
}

const minute = 60_000
const hour = 60 * minute
const iso = (at: number) => new Date(at).toISOString()

describe("Alertmanager's API", () => {
  let clock: ManualClock
  let server: ApiServer

  beforeEach(async () => {
    clock = createManualClock(noon)
    server = await startApiServer(clock)
  })
  afterEach(() => server.close())

  const get = (path: string) => fetch(`${server.url}/api/v2${path}`)
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into at will
  const json = async (path: string): Promise<any> => {
    const response = await get(path)
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json'])
    return response.json()
  }
  const prints = async (query: string): Promise<string[]> =>
    (await json(`/alerts${query}`)).map((alert: { fingerprint: string }) => alert.fingerprint)
  const refused = async (path: string) => {
    const response = await get(path)
    return [response.status, await response.json()]
  }
  const post = (body: unknown, init: RequestInit = {}) =>
    fetch(`${server.url}/api/v2/silences`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    })
  const silence = (changes: object = {}) => ({
    matchers: [{ name: 'alertname', value: 'DeviceUnauthenticated', isRegex: false, isEqual: true }],
    startsAt: iso(noon),
    endsAt: iso(noon + hour),
    createdBy: 'ada',
    comment: 'repair',
    ...changes,
  })
  const added = async (changes: object = {}): Promise<string> => {
    const response = await post(silence(changes))
    expect(response.status).toBe(200)
    return ((await response.json()) as { silenceID: string }).silenceID
  }

  describe('/status', () => {
    it('has every field that its schema demands, with the masked configuration', async () => {
      expect(await json('/status')).toEqual({
        cluster: { status: 'disabled', peers: [] },
        versionInfo: {
          version: '0.28.0',
          revision: 'fleetwarden 0.1.0',
          branch: 'fleetwarden',
          buildUser: '',
          buildDate: '',
          goVersion: '',
        },
        config: { original: fakeConfig },
        uptime: '2026-11-23T12:00:00.000Z',
      })
    })

    it('is not to be stored', async () => {
      expect((await get('/status')).headers.get('cache-control')).toBe('no-store')
    })
  })

  it('names the receivers', async () => {
    expect(await json('/receivers')).toEqual([{ name: 'on-call' }, { name: 'pager' }])
  })

  describe('/alerts', () => {
    it('shows an alert with every field, lists never null', async () => {
      const { fingerprint, labels, annotations } = server.alerting.add(1, { firedAt: noon - 7 * minute })
      expect(await json('/alerts')).toEqual([
        {
          fingerprint,
          labels,
          annotations,
          startsAt: iso(noon - 7 * minute),
          endsAt: iso(noon + 5 * minute),
          updatedAt: iso(noon),
          receivers: [{ name: 'pager' }],
          status: { state: 'active', silencedBy: [], inhibitedBy: [], mutedBy: [] },
        },
      ])
    })

    it('takes a label that no alert has for empty, whatever its name', async () => {
      server.alerting.add(1, { fingerprint: 'f1' })
      for (const name of ['none', 'constructor', 'toString', '__proto__']) {
        expect(await prints(`?filter=${name}=~".%2B"`)).toEqual([])
        expect(await prints(`?filter=${name}=""`)).toEqual(['f1'])
      }
    })

    it('is empty without alerts, and leaves out pending and resolved ones', async () => {
      expect(await json('/alerts')).toEqual([])
      server.alerting.add(1, { state: 'pending' })
      server.alerting.add(2, { state: 'recovering', fingerprint: 'f2' })
      server.alerting.add(3, { state: 'resolved', fingerprint: 'f3' })
      expect(await prints('')).toEqual(['f2'])
      expect(await prints('?pending=true')).toHaveLength(2)
    })

    it('comes sorted by fingerprint', async () => {
      for (const fingerprint of ['c', 'a', 'b']) server.alerting.add(1, { fingerprint })
      expect(await prints('')).toEqual(['a', 'b', 'c'])
    })

    describe('filters', () => {
      beforeEach(() => {
        const label = (n: number, labels: Record<string, string>) =>
          server.alerting.add(n, { fingerprint: `f${n}`, labels: { alertname: 'A', ...labels } })
        label(1, { severity: 'critical', manufacturer: 'Vaillant' })
        label(2, { severity: 'warning', manufacturer: 'Viessmann' })
        label(3, { severity: 'warning', name: 'a b+c,"d"' })
      })

      it.each([
        ['severity="critical"', ['f1']],
        ['severity=critical', ['f1']],
        ['severity!="critical"', ['f2', 'f3']],
        ['manufacturer=~"V.*"', ['f1', 'f2']],
        ['manufacturer=~"V"', []],
        ['manufacturer!~"Vai.*"', ['f2', 'f3']],
        ['manufacturer=""', ['f3']],
        ['manufacturer!=""', ['f1', 'f2']],
        ['name="a b+c,\\"d\\""', ['f3']],
        ['{severity="warning",manufacturer=~"V.+"}', ['f2']],
        ['', ['f1', 'f2', 'f3']],
      ])('%s', async (filter, expected) => {
        expect(await prints(`?filter=${encodeURIComponent(filter)}`)).toEqual(expected)
      })

      it('all have to hold', async () => {
        expect(await prints('?filter=severity%3Dwarning&filter=manufacturer%3DViessmann')).toEqual(['f2'])
        expect(await prints('?filter=severity%3Dwarning&filter=severity%3Dcritical')).toEqual([])
        expect(await prints('?filter=severity%3Dwarning&filter=severity%3Dwarning')).toEqual(['f2', 'f3'])
      })

      it('by receiver, whose name has to match as a whole', async () => {
        expect(await prints('?receiver=pager')).toEqual(['f1'])
        expect(await prints('?receiver=page')).toEqual([])
        expect(await prints('?receiver=on-.*')).toEqual(['f2', 'f3'])
        expect(await prints('?receiver=')).toEqual(['f1', 'f2', 'f3'])
      })

      it('by why nobody is told', async () => {
        const id = await added({
          matchers: [{ name: 'severity', value: 'critical', isRegex: false }],
        })
        server.alerting.inhibited.set('f2', ['f9'])
        server.alerting.muted.set('on-call', ['night'])
        const [silenced, inhibited, muted] = await json('/alerts')
        expect(silenced.status).toEqual({
          state: 'suppressed',
          silencedBy: [id],
          inhibitedBy: [],
          mutedBy: [],
        })
        expect(inhibited.status).toEqual({
          state: 'suppressed',
          silencedBy: [],
          inhibitedBy: ['f9'],
          mutedBy: ['night'],
        })
        expect(muted.status).toMatchObject({ state: 'suppressed', mutedBy: ['night'] })
        expect(await prints('?silenced=false')).toEqual(['f2', 'f3'])
        expect(await prints('?inhibited=false')).toEqual(['f1', 'f3'])
        expect(await prints('?muted=false')).toEqual(['f1'])
        expect(await prints('?active=false')).toEqual(['f1', 'f2'])
        expect(await prints('?active=false&inhibited=false')).toEqual(['f1'])
        // What amtool asks without flags, and with -s.
        expect(await prints('?active=true&inhibited=false&silenced=false&unprocessed=false')).toEqual(['f3'])
        expect(await prints('?active=false&inhibited=false&silenced=true&unprocessed=false')).toEqual(['f1'])
      })

      it.each([
        ['severity', 'bad filter "severity": expected =, !=, =~ or !~, found the end'],
        ['="x"', 'bad filter "=\\"x\\"": expected the name of a label, found "=\\"x\\""'],
        ['a="x', 'bad filter "a=\\"x": this quote is not closed, found "\\"x"'],
        ['a=~"(?=x)"', /^bad filter .* is no pattern that RE2 takes/],
        ['a=~"(((a{100}){100}){100})"', /^bad filter .* is no pattern that RE2 takes/],
        [`a=~"${'(a|b)'.repeat(1_000)}"`, /a pattern may have 4096 characters, not 5000$/],
      ])('%.40s is refused', async (filter, message) => {
        const [status, body] = await refused(`/alerts?filter=${encodeURIComponent(filter)}`)
        expect([status, String(body).length < 500]).toEqual([400, true])
        if (typeof message === 'string') expect(body).toBe(message)
        else expect(body).toMatch(message)
      })

      it.each([
        ['?filter=%ff%3D1', '"%ff%3D1" is not percent-encoded UTF-8'],
        ['?filter=%zz', '"%zz" is not percent-encoded UTF-8'],
        ['?active=maybe', 'active is true or false, not "maybe"'],
        ['?unprocessed=2', 'unprocessed is true or false, not "2"'],
        [
          '?receiver=(',
          'bad receiver: "(" is no pattern that RE2 takes: error parsing regexp: missing closing ): `(`',
        ],
        [`?${'filter=a=b&'.repeat(65)}`, 'more than 64 filters'],
        [`?${'filter=a=b&'.repeat(1_200)}`, 'more than 64 filters'],
      ])('%.40s is refused', async (query, message) => {
        expect(await refused(`/alerts${query}`)).toEqual([400, message])
        expect(await refused(`/alerts/groups${query}`)).toEqual([400, message])
      })

      it('are given up when looking takes too long', async () => {
        for (let n = 0; n < 3_000; n++) server.alerting.add(4, { fingerprint: `n${n}` })
        let elapsed = 0
        clock.monotonic = () => (elapsed += 200)
        expect(await refused('/alerts?filter=name%3D~"x.*"')).toEqual([
          400,
          'looking takes over 1000 ms: ask with fewer or simpler patterns',
        ])
      })
    })

    it('streams many, whole and in order', async () => {
      for (let n = 0; n < 3_000; n++) {
        server.alerting.add(1, { fingerprint: n.toString(16).padStart(16, '0') })
      }
      const response = await get('/alerts')
      expect(response.headers.has('content-length')).toBe(false)
      const alerts = (await response.json()) as { fingerprint: string }[]
      expect(alerts.map(({ fingerprint }) => Number.parseInt(fingerprint, 16))).toEqual(
        Array.from({ length: 3_000 }, (_, n) => n),
      )
    })

    it('lets other work be done while it streams', async () => {
      const alert = server.alerting.add(1)
      for (let n = 0; n < 20_000; n++) server.alerting.book.set(`f${n}`, { ...alert, fingerprint: `f${n}` })
      const response = await get('/alerts')
      let turns = 0
      const count = () => {
        turns++
        turning = setImmediate(count)
      }
      let turning = setImmediate(count)
      const bytes = (await response.arrayBuffer()).byteLength
      clearImmediate(turning)
      // One turn for each piece of 64 KB, at least.
      expect(turns).toBeGreaterThan(bytes / 65_536 / 2)
    })

    it('finds a hundred of a hundred thousand without asking anything of the others', async () => {
      const alert = server.alerting.add(1)
      for (let n = 0; n < 100_000; n++) {
        const labels = { alertname: 'A', severity: 'warning', device_id: `d${n}`, team: `t${n % 1_000}` }
        const fingerprint = n.toString(16).padStart(16, '0')
        server.alerting.book.set(fingerprint, { ...alert, fingerprint, labels })
      }
      const { suppressionOf } = server.alerting
      let asked = 0
      Object.assign(server.alerting, {
        suppressionOf: (alert: Parameters<typeof suppressionOf>[0]) => {
          asked++
          return suppressionOf(alert)
        },
      })
      const times: number[] = []
      for (let round = 0; round < 5; round++) {
        const startedAt = performance.now()
        expect(await prints('?filter=team%3Dt7&silenced=false')).toHaveLength(100)
        times.push(performance.now() - startedAt)
      }
      expect(asked).toBeLessThanOrEqual(5 * 100 * 2)
      expect(Math.min(...times)).toBeLessThan(150)
    })

    it('takes none from others, and says so', async () => {
      const response = await fetch(`${server.url}/api/v2/alerts`, { method: 'POST', body: '[]' })
      expect([response.status, await response.json()]).toEqual([
        501,
        'this service takes no alerts from others: it watches its own fleet. Send them to an Alertmanager',
      ])
    })

    it('answers 500 without details when something throws, and logs it', async () => {
      const error = new Error('details')
      Object.assign(server.alerting, {
        alerts: () => {
          throw error
        },
      })
      expect(await refused('/alerts')).toEqual([500, 'internal error'])
      expect(server.errors).toEqual([{ error, path: '/api/v2/alerts' }])
    })
  })

  describe('/alerts/groups', () => {
    it('has the alerts that a receiver is told of together, by labels and receiver', async () => {
      const warning = (n: number, alertname: string) =>
        server.alerting.add(n, {
          fingerprint: `f${n}`,
          labels: { alertname, manufacturer: 'Vaillant', severity: 'warning' },
        })
      server.alerting.add(2, { fingerprint: 'f2' })
      server.alerting.add(1, { fingerprint: 'f1' })
      warning(3, 'DeviceUnauthenticated')
      warning(4, 'A')
      const groups = await json('/alerts/groups')
      expect(
        groups.map(({ labels, receiver, alerts }: Group) => [
          labels['alertname'],
          receiver,
          alerts.map(({ fingerprint }) => fingerprint),
        ]),
      ).toEqual([
        ['A', { name: 'on-call' }, ['f4']],
        ['DeviceUnauthenticated', { name: 'on-call' }, ['f3']],
        ['DeviceUnauthenticated', { name: 'pager' }, ['f1', 'f2']],
      ])
      expect(groups[0]?.alerts[0]).toMatchObject({
        receivers: [{ name: 'on-call' }],
        status: { state: 'active', silencedBy: [], inhibitedBy: [], mutedBy: [] },
      })
    })

    it('leaves out alerts that are not asked for, and groups that are empty then', async () => {
      server.alerting.add(1, { fingerprint: 'f1' })
      server.alerting.add(2, { fingerprint: 'f2', labels: { alertname: 'B', severity: 'warning' } })
      const names = async (query: string) =>
        (await json(`/alerts/groups?${query}`)).map(
          ({ receiver }: { receiver: { name: string } }) => receiver.name,
        )
      expect(await names('filter=severity%3Dwarning')).toEqual(['on-call'])
      expect(await names('receiver=pager')).toEqual(['pager'])
      server.alerting.muted.set('pager', ['night'])
      expect(await names('muted=false')).toEqual(['on-call'])
      const [, muted] = await json('/alerts/groups')
      expect(muted.alerts[0].status).toMatchObject({ state: 'suppressed', mutedBy: ['night'] })
      expect(await json('/alerts/groups?filter=severity%3Dnone')).toEqual([])
    })
  })

  describe('silences', () => {
    it('are added, shown, changed in place and expired', async () => {
      server.alerting.add(1)
      const id = await added({ annotations: { expire_when: 'resolved' } })
      const shown = {
        ...silence({ annotations: { expire_when: 'resolved' } }),
        id,
        status: { state: 'active' },
        updatedAt: iso(noon),
      }
      expect(await json(`/silence/${id}`)).toEqual(shown)
      expect(await json('/silences')).toEqual([shown])
      expect((await json('/alerts'))[0].status).toMatchObject({ state: 'suppressed', silencedBy: [id] })

      expect(await added({ id, endsAt: iso(noon + 2 * hour), comment: 'longer' })).toBe(id)
      expect(await json(`/silence/${id}`)).toMatchObject({
        comment: 'longer',
        endsAt: iso(noon + 2 * hour),
        // A tool that knows of no annotations removes none.
        annotations: { expire_when: 'resolved' },
      })

      for (let twice = 0; twice < 2; twice++) {
        const response = await fetch(`${server.url}/api/v2/silence/${id}`, { method: 'DELETE' })
        expect([response.status, await response.text()]).toEqual([200, ''])
      }
      expect(await json(`/silence/${id}`)).toMatchObject({ status: { state: 'expired' }, endsAt: iso(noon) })
      expect((await json('/alerts'))[0].status.state).toBe('active')
    })

    it('get another id when what they match changes', async () => {
      const id = await added()
      const matchers = [{ name: 'alertname', value: 'Other', isRegex: false, isEqual: true }]
      expect(await added({ id, matchers })).not.toBe(id)
      expect((await json(`/silence/${id}`)).status.state).toBe('expired')
    })

    it.each(['GET', 'DELETE'])('are 404 to %s when there is none', async (method) => {
      for (const id of ['00000000-0000-4000-8000-000000000000', 'x', 'a%2fb', '%ff']) {
        const response = await fetch(`${server.url}/api/v2/silence/${id}`, { method })
        expect([response.status, await response.json()]).toEqual([404, 'there is no silence with this id'])
      }
    })

    it('come active first by end, then pending by start, then expired by end, the last first', async () => {
      const names = new Map<string, string>()
      const make = async (name: string, startsAt: number, endsAt: number) => {
        names.set(await added({ startsAt: iso(startsAt), endsAt: iso(endsAt) }), name)
      }
      await make('ended first', noon, noon + minute)
      await make('ended last', noon, noon + 2 * minute)
      await make('later', noon + 6 * hour, noon + 7 * hour)
      await make('sooner', noon + 5 * hour, noon + 9 * hour)
      await make('ends last', noon, noon + 4 * hour)
      await make('ends first', noon, noon + 3 * hour)
      clock.jump(10 * minute)
      const shown = async (query = '') =>
        (await json(`/silences${query}`)).map(({ id }: { id: string }) => names.get(id))
      const all = ['ends first', 'ends last', 'sooner', 'later', 'ended last', 'ended first']
      expect(await shown()).toEqual(all)
      expect(await shown('?expired=false')).toEqual(all.slice(0, 4))
      expect(await shown('?active=false&pending=false')).toEqual(all.slice(4))
    })

    it('are found by what they say, not by what they match', async () => {
      const id = await added({
        matchers: [
          { name: 'a', value: 'x.*', isRegex: true, isEqual: true },
          { name: 'b', value: '1', isRegex: false, isEqual: false },
        ],
      })
      const found = async (filter: string) =>
        (await json(`/silences?filter=${encodeURIComponent(filter)}`)).map((each: { id: string }) => each.id)
      expect(await found('a=~"x.*"')).toEqual([id])
      expect(await found('b!="1"')).toEqual([id])
      expect(await found('{a=~"x.*",b!="1"}')).toEqual([id])
      for (const filter of ['a="x.*"', 'a="xy"', 'b="1"', 'a=~"x.*",c="1"'])
        expect(await found(filter)).toEqual([])
      expect(await refused('/silences?filter=a')).toEqual([400, expect.stringContaining('bad filter')])
    })

    it.each([
      ['no JSON', '{', 'the body is no JSON in UTF-8'],
      ['nothing', '', 'the body is no JSON in UTF-8'],
      ['a list', [], 'Invalid input: expected object, received array'],
      ['no matchers', silence({ matchers: [] }), 'matchers: expected at least one matcher'],
      [
        'a pattern that is none',
        silence({ matchers: [{ name: 'a', value: '(', isRegex: true }] }),
        '"(" is no pattern that RE2 takes: error parsing regexp: missing closing ): `(`',
      ],
      [
        'patterns that take long to compile',
        silence({
          matchers: Array.from({ length: 3 }, () => ({
            name: 'a',
            value: 'x+'.repeat(2_000),
            isRegex: true,
          })),
        }),
        'patterns may have 8192 characters together, not 12000',
      ],
      [
        'thousands of matchers',
        silence({
          matchers: Array.from({ length: 5_000 }, () => ({ name: 'a', value: 'b', isRegex: false })),
        }),
        'matchers: expected at most 64 matchers',
      ],
      [
        'no instant',
        silence({ startsAt: 'now' }),
        'startsAt: expected an instant such as 2026-05-01T08:00:00Z, not "now"',
      ],
      [
        'an instant without its zone',
        silence({ endsAt: '2026-11-23T13:00:00' }),
        'endsAt: expected an instant such as 2026-05-01T08:00:00Z, not "2026-11-23T13:00:00"',
      ],
      ['an end before its start', silence({ endsAt: iso(noon - hour) }), 'the start must be before the end'],
      [
        'no author',
        silence({ createdBy: undefined }),
        'createdBy: Invalid input: expected string, received undefined',
      ],
    ])('with %s are refused', async (_, body, message) => {
      const response = await post(body)
      expect([response.status, await response.json()]).toEqual([400, message])
      expect(server.alerting.silenceMap.size).toBe(0)
    })

    it('with an unknown id are 404', async () => {
      const response = await post(silence({ id: '00000000-0000-4000-8000-000000000000' }))
      expect([response.status, await response.json()]).toEqual([404, 'silence not found'])
    })

    it('are taken as Go writes them: nanoseconds, another zone, an empty id, no isEqual, more fields', async () => {
      const id = await added({
        id: '',
        matchers: [{ name: 'a', value: 'b', isRegex: false }],
        startsAt: '2026-11-23T13:00:00.123456789+01:00',
        endsAt: '2026-11-23T14:30:00+01:00',
        status: { state: 'active' },
        updatedAt: 'whenever',
      })
      expect(await json(`/silence/${id}`)).toMatchObject({
        startsAt: '2026-11-23T12:00:00.123Z',
        endsAt: '2026-11-23T13:30:00.000Z',
        matchers: [{ name: 'a', value: 'b', isRegex: false, isEqual: true }],
      })
    })

    it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp'])(
      'as %s are refused: forms of other pages can send that',
      async (type) => {
        const response = await post(silence(), { headers: { 'Content-Type': type } })
        expect([response.status, await response.json()]).toEqual([
          400,
          `expected Content-Type: application/json, not "${type}"`,
        ])
      },
    )

    it('of more than a megabyte are refused, said to be long or found to be', async () => {
      const long = silence({ comment: 'x'.repeat(1024 * 1024) })
      const whole = await post(long)
      expect([whole.status, await whole.json()]).toEqual([413, 'a body may have 1048576 bytes'])
      const bytes = new TextEncoder().encode(JSON.stringify(long))
      const chunked = await post('', {
        body: new ReadableStream({
          start(controller) {
            controller.enqueue(bytes)
            controller.close()
          },
        }),
        duplex: 'half',
      } as RequestInit)
      expect([chunked.status, await chunked.json()]).toEqual([413, 'a body may have 1048576 bytes'])
    })

    it('may come in chunks', async () => {
      const bytes = new TextEncoder().encode(JSON.stringify(silence({ comment: 'ü' })))
      const response = await post('', {
        body: new ReadableStream({
          start(controller) {
            for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
            controller.close()
          },
        }),
        duplex: 'half',
      } as RequestInit)
      expect(response.status).toBe(200)
      expect([...server.alerting.silenceMap.values()][0]?.comment).toBe('ü')
    })
  })
})
