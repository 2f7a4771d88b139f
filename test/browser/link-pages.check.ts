// The pages of links in a real Chromium (Debian's package): axe on every page, the way over a partner and a
// manufacturer and back, keyboard, zoom, print, and no script. Screenshots go to a folder that is named at
// the end; with --pictures they are those of the documentation: node bin/node24.js
// test/browser/link-pages.check.ts --pictures docs/images

import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { systemClock } from '../../src/clock.ts'
import type { LinkProgress, LinkView, StartOutcome } from '../../src/links/link-desk.ts'
import { Secret } from '../../src/secret.ts'
import { type LinkServer, linkView, startLinkServer } from '../http/link-server.ts'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const axeTags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }
const desktop = { viewport: { width: 1280, height: 800 } }
const hour = 3_600_000

let checks = 0
let tokens = 0
const failures: string[] = []

function expect(what: string, holds: boolean, details: unknown = ''): void {
  checks++
  if (holds) return
  failures.push(`${what} ${typeof details === 'string' ? details : JSON.stringify(details)}`)
}

const [option, pictureFolder] = process.argv.slice(2)
const now = systemClock.now()
// Without TLS, as in a trial: else Chromium would be kept from the peers below, which have none.
const server = await startLinkServer({ clock: systemClock, publicUrl: 'http://127.0.0.1' })
const browser = await chromium.launch({
  executablePath,
  args: [
    ...['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
    ...['--disable-component-update', '--disable-sync'],
  ],
})
try {
  if (option === '--pictures' && pictureFolder !== undefined) await takePictures(browser, pictureFolder)
  else {
    const slow = checkSlowBody(server)
    await checkPages(browser)
    await checkRoundTrip(browser)
    await checkPolicy(browser)
    await checkKeyboard(browser)
    await checkRefresh(browser)
    await checkUnsubscribing(browser)
    await checkOtherSites(browser)
    await checkPrint(browser)
    await slow
  }
} catch (error) {
  failures.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
} finally {
  await browser.close()
  await server.close()
}
for (const failure of failures) console.error(`FAILED: ${failure}`)
console.log(`link pages in Chromium: ${checks} checks, ${failures.length} failed`)
process.exitCode = failures.length === 0 ? 0 : 1

interface Shown {
  readonly name: string
  readonly view?: Partial<LinkView>
  readonly path?: string
  /** The button is pressed first. */
  readonly outcome?: (view: LinkView) => StartOutcome
  readonly subscribed?: boolean
  readonly isKnown?: boolean
}

function shownPages(): Shown[] {
  const progress = (value: LinkProgress) => ({ progress: value })
  const checking = progress({ kind: 'checking', returnedAt: now - 40_000, until: now + 140_000 })
  const resolved = progress({ kind: 'resolved', resolvedAt: now - 60_000, verifiedAfterMs: 40_000 })
  const stillWrong = (['not_authenticated', 'action_pending', 'unread', 'gone'] as const).map((reason) => ({
    name: `still-wrong-${reason.replace('_', '-')}`,
    view: progress({ kind: 'still_wrong', reason, checkedAt: now - 30_000 }),
  }))
  const outcomes: [string, (view: LinkView) => StartOutcome][] = [
    ['healthy', (view) => ({ kind: 'healthy', view })],
    ['gone', (view) => ({ kind: 'gone', view })],
    [
      'nothing-to-open',
      (view) => ({ kind: 'nothing_to_open', view, codes: ['accept_terms', 'call_installer'] }),
    ],
    ['rate-limited', (view) => ({ kind: 'rate_limited', view, retryAfterMs: 90_000 })],
    ['unavailable', (view) => ({ kind: 'unavailable', view })],
    ['refused-host', (view) => ({ kind: 'refused_host', view })],
  ]
  const both: Shown[] = [
    { name: 'open' },
    { name: 'checking', view: checking },
    { name: 'refreshing', view: checking, path: '/progress' },
    { name: 'resolved', view: { ...resolved, successUrl: 'https://portal.example.com/thanks' } },
    ...stillWrong,
    { name: 'cancelled', path: '/cancelled' },
    ...outcomes.map(([name, outcome]) => ({ name, outcome })),
  ]
  const other: Shown[] = [
    {
      name: 'step',
      view: { alertname: 'DeviceActionPending', deviceType: 'inverter', manufacturer: 'Fronius' },
    },
    {
      name: 'silent',
      view: { alertname: 'VehicleStateStale', deviceType: 'electric_vehicle', manufacturer: 'Tesla' },
    },
    { name: 'steering', view: { alertname: 'OptimisationInactive', since: now - 3 * 24 * hour } },
    { name: 'other', view: { alertname: 'OperatorsOwn', deviceType: 'wallbox', manufacturer: 'unknown' } },
  ]
  const purposes = ['owner', 'staff'] as const
  return [
    ...purposes.flatMap((purpose) =>
      [...both, ...other].map((page) => ({
        ...page,
        name: `${purpose}-${page.name}`,
        view: { ...page.view, purpose },
      })),
    ),
    {
      name: 'long',
      view: { manufacturer: 'Mitsubishielectricklimatechnikgesellschaft'.repeat(3), purpose: 'staff' },
    },
    { name: 'not-found', isKnown: false },
    { name: 'unsubscribe', path: '/unsubscribe', subscribed: true },
    { name: 'unsubscribed', path: '/unsubscribe', subscribed: false },
  ]
}

function prepare({ view = {}, outcome, subscribed, isKnown = true }: Shown): string {
  const token = `check.${++tokens}.c2lnbmF0dXJl`
  const shown = linkView(now, view)
  if (isKnown) server.views.set(token, shown)
  if (outcome !== undefined) server.outcomes.set(token, outcome(shown))
  if (subscribed !== undefined) server.subscriptions.set(token, subscribed)
  return token
}

async function open(page: Page, shown: Shown): Promise<string> {
  const token = prepare(shown)
  await page.goto(`${server.url}/r/${token}${shown.path ?? ''}`)
  if (shown.outcome !== undefined) {
    await Promise.all([
      page.waitForResponse((response) => response.request().method() === 'POST'),
      press(page),
    ])
    await page.waitForLoadState()
  }
  return token
}

function press(page: Page): Promise<void> {
  return page.locator('form button').click()
}

async function inContext<T>(
  browser: Browser,
  options: BrowserContextOptions,
  use: (page: Page) => Promise<T>,
): Promise<T> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.on('console', (message) => {
    // Answers that are no success are told there, too.
    if (!message.text().startsWith('Failed to load resource')) failures.push(`console: ${message.text()}`)
  })
  try {
    return await use(page)
  } finally {
    await context.close()
  }
}

async function checkPages(browser: Browser): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetwarden-link-pages-'))
  for (const locale of ['en-GB', 'de-AT']) {
    const language = locale.slice(0, 2)
    await inContext(browser, { locale, reducedMotion: 'reduce' }, async (page) => {
      // Not while it is looked at.
      await page.route('**/progress', async (route) => {
        const response = await route.fetch()
        const { refresh: _, ...headers } = response.headers()
        await route.fulfill({ response, headers })
      })
      for (const shown of shownPages()) {
        await open(page, shown)
        await page.evaluate(axe.source)
        const told = await page.locator('html').getAttribute('lang')
        expect(`${shown.name}: speaks ${language}`, told === language, told)
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme })
          for (const [device, { viewport }] of Object.entries({ phone, desktop })) {
            await page.setViewportSize(viewport)
            const name = [shown.name, language, colorScheme, device].join('-')
            await checkAxe(page, name)
            await checkSizes(page, name)
            await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
          }
        }
      }
    })
    // 200 % of zoom is half as many CSS pixels; 320 of them is what WCAG 1.4.10 asks for.
    for (const [zoom, width] of [
      ['200 %', 640],
      ['400 %', 320],
    ] as const) {
      await inContext(browser, { locale, viewport: { width, height: 400 } }, async (page) => {
        for (const shown of shownPages()) {
          await open(page, shown)
          expect(`${shown.name} ${locale}: fits at ${zoom}`, !(await isTooWide(page)))
        }
        await open(page, { name: 'open' })
        // And with letters alone of twice the size.
        await page.evaluate("document.documentElement.style.fontSize = '200%'")
        expect(`${locale}, ${zoom}: fits with larger letters`, !(await isTooWide(page)))
        await page.screenshot({ path: join(folder, `zoom-${locale}-${width}.png`), fullPage: true })
      })
    }
  }
  console.log(`screenshots: ${folder}`)
}

async function checkSizes(page: Page, name: string): Promise<void> {
  expect(`${name}: has no bar to scroll sideways`, !(await isTooWide(page)))
  for (const button of await page.locator('button, .button').all()) {
    const box = await button.boundingBox()
    expect(`${name}: has a button for a thumb`, box !== null && box.height >= 48 && box.width >= 48, box)
  }
}

async function isTooWide(page: Page): Promise<boolean> {
  return (
    (await page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth')) ===
    true
  )
}

async function checkAxe(page: Page, name: string): Promise<void> {
  const options = JSON.stringify({ runOnly: { type: 'tag', values: axeTags } })
  const { violations } = (await page.evaluate(`axe.run(document, ${options})`)) as axe.AxeResults
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
  expect(`${name}: axe`, found.length === 0, found)
}

interface Peer {
  readonly url: string
  readonly requests: { readonly path: string; readonly referer: string | undefined }[]
  close(): Promise<unknown>
}

/** A site whose every path is answered by `answer`: a page, or where to go on to. */
async function startPeer(answer: (path: string) => { page: string } | { location: string }): Promise<Peer> {
  const requests: Peer['requests'] = []
  const peer: Server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push({ path, referer: request.headers.referer })
    const made = answer(path)
    if ('page' in made) response.writeHead(200, { 'Content-Type': 'text/html' }).end(made.page)
    else response.writeHead(302, { Location: made.location }).end()
  }).listen(0)
  await once(peer, 'listening')
  const { port } = peer.address() as AddressInfo
  return {
    url: `http://localhost:${port}`,
    requests,
    close: () => new Promise((resolve) => peer.close(resolve).closeAllConnections()),
  }
}

/** Button → partner → manufacturer → sign-in, each a redirect to another origin → and back here → verified. */
async function checkRoundTrip(browser: Browser): Promise<void> {
  for (const javaScriptEnabled of [true, false]) {
    await inContext(browser, { ...phone, javaScriptEnabled }, async (page) => {
      const name = `round trip ${javaScriptEnabled ? 'with' : 'without'} scripts`
      const token = prepare({ name })
      const back = `${server.url}/r/${token}/back?session_id=1`
      const maker = await startPeer((path) =>
        path === '/login'
          ? { page: `<title>Sign in</title><form action="/done"><button>Sign in</button></form>` }
          : path.startsWith('/done')
            ? { location: back }
            : { location: '/login' },
      )
      // Another origin, and with 127.0.0.1 another site.
      const partner = await startPeer(() => ({
        location: `${maker.url.replace('localhost', '127.0.0.1')}/authorize`,
      }))
      server.outcomes.set(token, { kind: 'redirect', url: new Secret(`${partner.url}/resolve?secret=hush`) })
      await page.goto(`${server.url}/r/${token}`)
      await press(page)
      await page.waitForURL('**/login')
      expect(`${name}: gets to the manufacturer`, (await page.title()) === 'Sign in')
      const told = [...partner.requests, ...maker.requests]
        .map(({ referer }) => referer)
        .filter((one) => one?.includes('/r/'))
      expect(`${name}: no referrer tells the link`, told.length === 0, told)
      const progress = {
        kind: 'checking',
        returnedAt: systemClock.now(),
        until: systemClock.now() + 180_000,
      } as const
      server.views.set(token, linkView(now, { progress }))
      await press(page)
      await page.waitForURL('**/back?session_id=1')
      expect(
        `${name}: is being checked`,
        (await page.locator('h1').textContent()) === 'We are checking the connection',
      )
      const resolved = { kind: 'resolved', resolvedAt: systemClock.now(), verifiedAfterMs: 4_000 } as const
      server.views.set(token, linkView(now, { progress: resolved }))
      await page.getByText('Your heat pump is connected again').waitFor({ timeout: 10_000 })
      expect(
        `${name}: leaves what the partner appended behind`,
        page.url() === `${server.url}/r/${token}/progress`,
        page.url(),
      )
      const calls = server.calls
        .filter((call) => call.endsWith(` ${token}`))
        .map((call) => call.replace(` ${token}`, ''))
      expect(
        `${name}: started and returned once`,
        count(calls, 'start') === 1 && count(calls, 'returned') === 1,
        calls,
      )
      await Promise.all([maker.close(), partner.close()])
    })
  }
}

function count(calls: readonly string[], wanted: string): number {
  return calls.filter((call) => call === wanted).length
}

/** Where people reach us with TLS, a form goes on to wherever there is TLS, and nowhere else. */
async function checkPolicy(browser: Browser): Promise<void> {
  const strict = await startLinkServer({ clock: systemClock, publicUrl: 'https://fleet.example.com' })
  const context = await browser.newContext()
  const page = await context.newPage()
  const follow = async (scheme: string) => {
    // That Chromium begins to talk is enough: what it says is for a partner with a certificate.
    const peer = createTcpServer((socket) => void socket.on('error', () => {}).destroy()).listen(0)
    await once(peer, 'listening')
    const token = `policy.${scheme}`
    const url = `${scheme}://localhost:${(peer.address() as AddressInfo).port}/`
    strict.views.set(token, linkView(now))
    strict.outcomes.set(token, { kind: 'redirect', url: new Secret(url) })
    await page.goto(`${strict.url}/r/${token}`)
    const gone = once(peer, 'connection').then(() => 'gone')
    const refused = page
      .waitForEvent('console', {
        predicate: (message) => message.text().includes('form-action'),
        timeout: 10_000,
      })
      .then(() => 'refused')
    const result = Promise.race([gone, refused])
    await Promise.allSettled([result, press(page)])
    refused.catch(() => {})
    peer.close()
    return result
  }
  expect('a form goes on with TLS', (await follow('https')) === 'gone')
  expect('a form does not go on without', (await follow('http')) === 'refused')
  await context.close()
  await strict.close()
}

async function checkKeyboard(browser: Browser): Promise<void> {
  await inContext(browser, desktop, async (page) => {
    const token = await open(page, { name: 'keyboard' })
    server.outcomes.set(token, { kind: 'healthy', view: linkView(now) })
    await page.keyboard.press('Tab')
    const focused = (await page.evaluate(`(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement)
      return [document.activeElement.tagName, outlineStyle, outlineWidth]
    })()`)) as string[]
    expect(
      'keyboard: one Tab leads to the button, and it shows',
      focused.join() === 'BUTTON,solid,3px',
      focused,
    )
    await page.keyboard.press('Enter')
    await page.getByText('Your heat pump is connected').waitFor({ timeout: 5_000 })
  })
}

async function checkRefresh(browser: Browser): Promise<void> {
  await inContext(browser, phone, async (page) => {
    const progress = {
      kind: 'checking',
      returnedAt: systemClock.now(),
      until: systemClock.now() + 180_000,
    } as const
    const token = await open(page, { name: 'refresh', view: { progress }, path: '/progress' })
    await page.waitForResponse((response) => response.url().endsWith('/progress'), { timeout: 10_000 })
    await page.getByText('Stop refreshing').press('Enter')
    await page.waitForURL(`${server.url}/r/${token}`)
    const before = server.calls.length
    await systemClock.sleep(4_500)
    expect('refreshing can be stopped', server.calls.length === before, server.calls.slice(before))
  })
}

async function checkUnsubscribing(browser: Browser): Promise<void> {
  for (const javaScriptEnabled of [true, false]) {
    await inContext(browser, { ...phone, javaScriptEnabled }, async (page) => {
      const token = await open(page, { name: 'unsubscribe', path: '/unsubscribe', subscribed: true })
      await press(page)
      await page.getByText('You are unsubscribed').waitFor({ timeout: 5_000 })
      expect('unsubscribes', server.subscriptions.get(token) === false)
    })
  }
}

/** What a page of another site can do with a link that it knows. */
async function checkOtherSites(browser: Browser): Promise<void> {
  const token = prepare({
    name: 'other sites',
    outcome: (view) => ({ kind: 'healthy', view }),
    subscribed: true,
  })
  const link = `${server.url}/r/${token}`
  const evil = await startPeer(() => ({
    page: `<title>x</title><iframe src="${link}"></iframe><form method="post" action="${link}"><button>x</button></form>`,
  }))
  await inContext(browser, {}, async (page) => {
    page.removeAllListeners('console')
    await page.goto(evil.url)
    await press(page)
    await page.getByText('This came from another page').waitFor({ timeout: 5_000 })
    expect('a form of another site starts nothing', !server.calls.includes(`start ${token}`))
  })
  await inContext(browser, {}, async (page) => {
    page.removeAllListeners('console')
    await page.goto(evil.url)
    const framed = page.frames()[1]
    const text = await framed?.evaluate('document.body.innerText').catch(() => '')
    expect('no page of ours stands in a frame', !String(text).includes('heat pump'), text)
  })
  await evil.close()
}

async function checkPrint(browser: Browser): Promise<void> {
  await inContext(browser, { ...desktop, colorScheme: 'dark' }, async (page) => {
    await open(page, { name: 'print' })
    await page.emulateMedia({ media: 'print' })
    expect('printed without the button', !(await page.locator('form').isVisible()))
    const colour = await page.evaluate('getComputedStyle(document.querySelector("h1")).color')
    expect('printed in black', colour === 'rgb(0, 0, 0)', colour)
  })
}

/** The server ends a request whose body never comes. */
async function checkSlowBody({ url }: LinkServer): Promise<void> {
  const token = prepare({ name: 'slow', outcome: (view) => ({ kind: 'healthy', view }) })
  const { port, hostname } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const began = systemClock.monotonic()
  socket.on('error', () => {})
  socket.write(
    `POST /r/${token} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na=`,
  )
  socket.resume()
  await once(socket, 'close')
  const seconds = (systemClock.monotonic() - began) / 1_000
  expect('a slow client is ended', seconds > 5 && seconds < 30, seconds)
  expect('a slow client starts nothing', !server.calls.includes(`start ${token}`))
}

async function takePictures(browser: Browser, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const pages = shownPages()
  const take = (name: string, shownName: string, options: BrowserContextOptions) =>
    inContext(browser, { ...options, viewport: { width: 390, height: 740 } }, async (page) => {
      const shown = pages.find((one) => one.name === shownName)
      if (shown === undefined) throw new Error(`there is no page ${shownName}`)
      await open(page, shown)
      await page.screenshot({ path: join(folder, `link-${name}.png`) })
      expect(`took ${name}`, true)
    })
  await take('open', 'owner-open', { locale: 'en-GB' })
  await take('open-de', 'owner-open', { locale: 'de-AT', colorScheme: 'dark' })
  await take('checking', 'owner-refreshing', { locale: 'en-GB' })
  await take('resolved', 'owner-resolved', { locale: 'en-GB' })
}
