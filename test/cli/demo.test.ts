import { setTimeout as pause } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { demo } from '../../src/cli/demo.ts'
import { systemClock } from '../../src/clock.ts'

it('brings whoever follows the link of a message back to the inbox, where it resolves', async () => {
  const stop = new AbortController()
  const lines: string[] = []
  const print = (line: string) => void lines.push(line)
  const running = demo(
    { users: 12, seed: 7, speed: 900, port: 0 },
    {
      env: {},
      nodeVersion: process.version,
      clock: systemClock,
      signal: stop.signal,
      onReload: () => () => {},
      print,
      printError: print,
      terminal: null,
      logDestination: { write: print },
    },
  )
  try {
    const inbox = await until(() => /Inbox +(http\S+)/.exec(lines.join('\n'))?.[1])
    const page = async () => (await fetch(inbox)).text()
    // A link of the API's old shape takes no address to come back to.
    const link = await until(
      async () => /<a href="([^"]*\/session\/[^"]*success_url=[^"]*)"[^>]*>Resolve</.exec(await page())?.[1],
    )
    const answer = await fetch(link.replaceAll('&amp;', '&'), { method: 'POST' })
    expect(answer.url).toBe(inbox)
    expect(await answer.text()).toContain('<title>Inbox')
    await until(async () => (/Resolved: /.test(await page()) ? true : undefined))
  } finally {
    stop.abort()
    expect(await running).toBe(0)
  }
  // What the screen tells a newcomer to click is what messages call it.
  expect(lines.join('\n')).toContain('Click "Resolve"')
})

async function until<T>(find: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const found = await find()
    if (found !== undefined) return found
    await pause(25)
  }
  throw new Error('it did not come')
}
