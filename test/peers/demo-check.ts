// What a newcomer does: starts the demo, waits for the first alert, follows its link, waits for a
// resolved one, and presses Ctrl-C. Too slow for the test suite, so a step of the gate.
//   node bin/node24.js test/peers/demo-check.ts

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const firingWithinMs = 30_000
const resolvedWithinMs = 120_000

const demo = spawn('npm', ['run', '--silent', 'demo', '--', '--port', '0'], {
  stdio: ['ignore', 'pipe', 'inherit'],
  detached: true,
})
const startedAt = performance.now()
const lines: string[] = []
const output = createInterface({ input: demo.stdout })
output.on('line', (line) => lines.push(line))

/** The first line of the output that matches, past or to come. */
async function line(pattern: RegExp, withinMs: number): Promise<string> {
  const signal = AbortSignal.timeout(Math.max(1, Math.round(withinMs - (performance.now() - startedAt))))
  for (;;) {
    const found = lines.find((each) => pattern.test(each))
    if (found !== undefined) return found
    await once(output, 'line', { signal }).catch(() => {
      throw new Error(`no line like ${pattern} within ${withinMs / 1000} s; there were:\n${lines.join('\n')}`)
    })
  }
}

async function page(url: string): Promise<string> {
  const response = await fetch(url)
  assert.equal(response.status, 200, `${url} answered ${response.status}`)
  return response.text()
}

try {
  const inbox = /http:\S+/.exec(await line(/Inbox/, firingWithinMs))?.[0] ?? ''
  const metrics = /http:\S+/.exec(await line(/Metrics/, firingWithinMs))?.[0] ?? ''
  await line(/Slack .*DeviceUnauthenticated/, firingWithinMs)
  await line(/e-mail .*DeviceUnauthenticated/, firingWithinMs + 15_000)
  const firingAfter = (performance.now() - startedAt) / 1000

  const links = [...(await page(inbox)).matchAll(/href="(http[^"]*\/r\/[^"]*)"/g)]
  assert.ok(links.length > 0, 'no message on the inbox page has a link that resolves its problem')
  const link = links[0]?.[1] ?? ''
  assert.match(await page(link), /<form[^>]*method="post"/i, 'the link leads to a page with a button')
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const pressed = await fetch(link, { method: 'POST', headers: form, body: '', redirect: 'manual' })
  const partnerUrl = pressed.headers.get('location') ?? ''
  assert.match(partnerUrl, /\/session\//, `the button leads to the partner (${pressed.status})`)
  assert.match(await page(partnerUrl), /<form[^>]*method="post"/i, 'and that is a page with a button, too')

  await line(/Slack .*Resolved/, resolvedWithinMs)
  const resolvedAfter = (performance.now() - startedAt) / 1000
  assert.match(await page(metrics), /^fleet_alerts\{/m)

  // To the whole group, as a terminal does. npm dies of it; what counts is how the demo takes it.
  process.kill(-(demo.pid ?? 0), 'SIGINT')
  await line(/^The demo has ended/, resolvedAfter * 1000 + 15_000)
  console.log(
    `first alert after ${firingAfter.toFixed(0)} s, first resolved after ${resolvedAfter.toFixed(0)} s, clean end`,
  )
} finally {
  try {
    process.kill(-(demo.pid ?? 0), 'SIGKILL')
  } catch {
    // It has ended, as it should.
  }
}
