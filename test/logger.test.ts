import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLogger, type LogLevel, logLevels, scrub } from '../src/logger.ts'
import { Secret } from '../src/secret.ts'

function capture(level: LogLevel = 'debug') {
  const lines: string[] = []
  const logger = createLogger({ level, destination: { write: (line) => lines.push(line) } })
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? 'null') }
}

describe('the logger', () => {
  it('writes one JSON object a line: level as a word, time as ISO, the fields, the message', () => {
    const { logger, lines, last } = capture()
    logger.warn({ receiver: 'on-call', attempts: 3, late: true, nothing: null }, 'A delivery failed')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/\}\n$/)
    expect(last()).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      receiver: 'on-call',
      attempts: 3,
      late: true,
      nothing: null,
      msg: 'A delivery failed',
    })
  })

  it.each(logLevels)('leaves out what is below its level: %s', (level) => {
    const { logger, lines } = capture(level)
    for (const each of ['debug', 'info', 'warn', 'error'] as const) logger[each]({}, each)
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(logLevels.slice(logLevels.indexOf(level), -1))
  })

  it('keeps apart the fields that are named like its own', () => {
    const { logger, lines, last } = capture()
    logger.info({ level: 3, msg: 'mine', time: 'now' }, 'the message')
    expect(lines[0]?.match(/"msg":/g)).toHaveLength(1)
    expect(last()).toMatchObject({ level: 'info', msg: 'the message', level_: 3, msg_: 'mine', time_: 'now' })
  })

  it('prints errors with kind, code, stack and causes, and nothing else that hangs on them', () => {
    const { logger, last } = capture()
    const cause = Object.assign(new TypeError('connect refused'), { code: 'ECONNREFUSED' })
    const error = Object.assign(new Error('cannot read users', { cause }), {
      kind: 'network',
      statusCode: 502,
      request: { headers: { 'x-private': 'of a library' } },
    })
    logger.error({ error }, 'A walk failed')
    expect(last().error).toEqual({
      type: 'Error',
      message: 'cannot read users',
      kind: 'network',
      statusCode: 502,
      stack: expect.stringContaining('logger.test.ts'),
      cause: {
        type: 'TypeError',
        message: 'connect refused',
        code: 'ECONNREFUSED',
        stack: expect.any(String),
      },
    })
  })

  it('prints any value, whatever it is made of', () => {
    const { logger, last } = capture()
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    logger.info(
      {
        date: new Date(0),
        big: 10n,
        infinite: Number.POSITIVE_INFINITY,
        map: new Map([['a', 1]]),
        set: new Set([1]),
        bytes: new Uint8Array(3),
        many: Array.from({ length: 60 }, (_, i) => i),
        long: 'x'.repeat(5_000),
        fn: () => 1,
        missing: undefined,
        circle,
        thrower: {
          get field() {
            throw new Error('no')
          },
        },
        errors: new AggregateError([new Error('one')], 'all failed'),
      },
      'anything',
    )
    expect(last()).toMatchObject({
      date: '1970-01-01T00:00:00.000Z',
      big: '10',
      infinite: 'Infinity',
      map: [['a', 1]],
      set: [1],
      bytes: '<3 bytes>',
      fn: '<function>',
      missing: null,
      thrower: '<unprintable>',
      errors: { message: 'all failed', errors: [{ message: 'one' }] },
    })
    expect(last().many).toHaveLength(51)
    expect(last().many[50]).toBe('<and 10 more>')
    expect(last().long).toHaveLength(4_000 + '… <1000 characters more>'.length)
    expect(JSON.stringify(last().circle)).toContain('<too deep>')
  })

  it('never prints a marker that was put where secrets are, whatever is around it', () => {
    // Long enough to be found, and of the letters that tokens are made of.
    const marker = 'zQ7marker9Xk2'
    const places: ((before: string, after: string) => unknown)[] = [
      () => new Secret(marker),
      () => ({ deep: [{ er: new Secret(marker) }] }),
      (a) => ({ [`${a}_token`]: marker, password: { plain: marker }, Authorization: [marker] }),
      (a, b) => `${a} https://hooks.slack.com/services/T0/B0/${marker} ${b}`,
      (a, b) => `${a} POST hooks.slack.com/services/T0/B0/${marker}: 404 ${b}`,
      (a) => `${a} path /services/T0/B0/${marker}`,
      (a, b) => `${a} https://user:${marker}@example.com/x ${b}`,
      (a) => `${a} postgres://user:p/${marker}@db:5432/fleet`,
      (a, b) => `${a} https://example.com/x?q=${marker} ${b}`,
      (a, b) => `${a} https://example.com/x#${marker} ${b}`,
      (a) => `${a} GET /auth/token?code=${marker}`,
      (a) => `${a} https://fleet.example.com/r/${marker}`,
      (a) => `${a} https://hc.example.com/ping/${marker}${marker}`,
      (a, b) => `${a} Bearer ${marker} ${b}`,
      (a) => `${a} Authorization: Basic ${marker}`,
      (a) => `${a} Cookie: a=b; session=${marker}`,
      (a, b) => `${a} client_secret=${marker}&${b}`,
      (a) => `${a} {"access_token":"${marker} and ${marker}"}`,
      (a, b) => `${a} password: '${marker} ${marker}' ${b}`,
      (a) => `${a} eyJhbGciOiJIUzI1NiJ9.${marker}.${marker}`,
      (a) => `${a} xoxb-1-${marker}`,
      (a) => `${a}fwt_${marker}`,
      () => new URL(`https://user:${marker}@example.com/?${marker}`),
    ]
    const wrappers: ((value: unknown) => Record<string, unknown>)[] = [
      (value) => ({ field: value }),
      (value) => ({ list: [[value]] }),
      (value) => ({ map: new Map([['k', value]]) }),
      (value) => ({ error: new Error(String(value)) }),
      (value) => ({ error: new Error('outer', { cause: new Error(String(value), { cause: value }) }) }),
      (value) => ({ error: new AggregateError([new Error(String(value))]) }),
      (value) => ({ error: Object.assign(new Error('x'), { options: { value }, code: String(value) }) }),
    ]
    // Words, since a random character glued to the front can turn a header into a plain word.
    const words = fc.array(fc.lorem({ maxCount: 3 }), { maxLength: 3 }).map((list) => list.join('\n'))
    fc.assert(
      fc.property(
        fc.constantFrom(...places),
        fc.constantFrom(...wrappers),
        words,
        words,
        (place, wrap, before, after) => {
          const { logger, lines } = capture()
          const value = place(before, after)
          const printable = value instanceof Secret || typeof value !== 'object' ? value : { value }
          logger.error(wrap(printable), 'failed')
          if (typeof value === 'string') logger.error({}, value)
          expect(lines.length).toBeGreaterThan(0)
          expect(lines.join('')).not.toContain(marker)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('leaves ordinary text as it is', () => {
    const texts = [
      'cannot read 016b78a7-0c7c-4241-a277-015c3ad3cb90: HTTP 503',
      'GET https://app.podero.com/api/partners/v2.0/users/016b78a7-0c7c-4241-a277-015c3ad3cb90/heat-pumps failed',
      'rules/connection.yaml:12:9: unknown field "device.is_autenticated"; did you mean is_authenticated?',
      'a key that a rule names is missing, and no token was sent',
    ]
    for (const text of texts) expect(scrub(text)).toBe(text)
  })

  it.each([
    ['https://u:p@db.example.com:5432/x?y=1#z', 'https://<secret>@db.example.com:5432/x?<removed>'],
    ['"https://a.example/p?q=1", then', '"https://a.example/p?<removed>", then'],
    ['Authorization: Bearer abc.def\nnext', 'Authorization: <secret>\nnext'],
    ['client_secret=abc&grant_type=x', 'client_secret=<secret>&grant_type=x'],
  ])('takes no more than it must: %s', (text, expected) => {
    expect(scrub(text)).toBe(expected)
    expect(scrub(expected)).toBe(expected)
  })

  it('takes time in proportion to the length of a text, whatever is in it', () => {
    for (const piece of ['a', 'a-', 'token', '://', '/r', 'eyJ', 'https://', ' ', 'authorization']) {
      const startedAt = performance.now()
      scrub(`token ${piece.repeat(200_000 / piece.length)}`)
      expect(performance.now() - startedAt).toBeLessThan(2_000)
    }
  })
})
