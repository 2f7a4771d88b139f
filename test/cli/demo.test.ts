import { setTimeout as pause } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { demo } from '../../src/cli/demo.ts'
import { systemClock } from '../../src/clock.ts'

it('leads from a message to the partner and back, where it is verified and goes on to the inbox', async () => {
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
    const link = await until(async () => {
      const links = [...(await page()).matchAll(/<a href="([^"]*\/r\/[^"]*)"[^>]*>Resolve</g)]
      for (const [, link = ''] of links) {
        const partnerUrl = await press(link)
        // A link of the API's old shape takes no address to come back to.
        if (!partnerUrl?.includes('success_url=')) continue
        const answer = await fetch(partnerUrl, { method: 'POST' })
        // Unless the device has healed by itself meanwhile: then the partner says so.
        if (answer.url === `${link}/back` && answer.status === 200) return link
      }
      return undefined
    })
    // The page says when it is done, and leads on to where the messages are.
    await until(async () =>
      (await (await fetch(link)).text()).includes(`href="${inbox}"`) ? true : undefined,
    )
    await until(async () => (/Resolved: /.test(await page()) ? true : undefined))
  } finally {
    stop.abort()
    expect(await running).toBe(0)
  }
  // What the screen tells a newcomer to click is what messages call it.
  expect(lines.join('\n')).toContain('Click "Resolve"')
})

/** Where the button of our page leads; nowhere when the device is well by now. */
async function press(link: string): Promise<string | null> {
  expect((await fetch(link)).status).toBe(200)
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const pressed = await fetch(link, { method: 'POST', headers: form, body: '', redirect: 'manual' })
  return pressed.headers.get('location')
}

async function until<T>(find: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const found = await find()
    if (found !== undefined) return found
    await pause(25)
  }
  throw new Error('it did not come')
}
