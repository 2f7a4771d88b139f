// The pages for the person on call in a real Chromium (Debian's package): axe on every page, the way from a
// filter to a silence by keyboard alone and without scripts, zoom, what other sites can do. Screenshots go
// to a folder that is named at the end; with --pictures they are those of the documentation: node
// bin/node24.js test/browser/pages.check.ts --pictures docs/images

import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { systemClock } from '../../src/clock.ts'
import { type Scene, setScene } from '../http/page-scene.ts'
import { startPageServer } from '../http/page-server.ts'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const axeTags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const phone = { width: 390, height: 844 }
const desktop = { width: 1280, height: 900 }

let checks = 0
const failures: string[] = []

function expect(what: string, holds: boolean, details: unknown = ''): void {
  checks++
  if (holds) return
  failures.push(`${what} ${typeof details === 'string' ? details : JSON.stringify(details)}`)
}

const [option, pictureFolder] = process.argv.slice(2)
const server = await startPageServer(systemClock)
const empty = await startPageServer(systemClock)
const scene = await setScene(server, systemClock.now())
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
    await checkPages(browser, scene)
    await checkZoom(browser, scene)
    await checkKeyboard(browser)
    await checkProblems(browser, scene)
    await checkPreferences(browser)
    await checkOtherSites(browser, scene)
  }
} catch (error) {
  failures.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
} finally {
  await browser.close()
  await Promise.all([server.close(), empty.close()])
}
for (const failure of failures) console.error(`FAILED: ${failure}`)
console.log(`pages in Chromium: ${checks} checks, ${failures.length} failed`)
process.exitCode = failures.length === 0 ? 0 : 1

interface Shown {
  readonly name: string
  readonly url: string
  /** What is done there before it is looked at. */
  readonly before?: (page: Page) => Promise<void>
}

function shownPages({ open, acknowledged, silenced, inhibited, resolved, fleet, silenceId }: Scene): Shown[] {
  const at = (path: string) => `${server.url}${path}`
  const alert = ({ fingerprint }: { fingerprint: string }, more = '') => at(`/alerts/${fingerprint}${more}`)
  return [
    { name: 'alerts', url: at('/') },
    { name: 'alerts-all', url: at('/?state=all') },
    { name: 'alerts-held', url: at('/?state=held') },
    { name: 'alerts-filtered', url: at('/?manufacturer=Daikin&severity=critical&q=heat') },
    { name: 'alerts-filter', url: at('/?edit=filter&manufacturer=Daikin') },
    { name: 'alerts-bad-filter', url: at(`/?filter=${encodeURIComponent('severity=~"("')}`) },
    { name: 'alerts-nothing', url: at('/?q=there-is-no-such') },
    { name: 'alerts-calm', url: `${empty.url}/` },
    { name: 'alert', url: alert(open) },
    { name: 'alert-acknowledged', url: alert(acknowledged) },
    { name: 'alert-silenced', url: alert(silenced) },
    { name: 'alert-inhibited', url: alert(inhibited) },
    { name: 'alert-resolved', url: alert(resolved) },
    { name: 'alert-fleet', url: alert(fleet) },
    { name: 'alert-gone', url: at('/alerts/0123456789abcdef') },
    { name: 'explain', url: alert(open, '/explain') },
    { name: 'acknowledge', url: alert(open, '/acknowledge') },
    { name: 'acknowledge-problems', url: alert(open, '/acknowledge'), before: submit },
    {
      name: 'link',
      url: alert(open),
      before: async (page) => {
        await page.locator('form[action$="/link"] button').click()
        await page.waitForLoadState()
      },
    },
    { name: 'silences', url: at('/silences') },
    { name: 'silences-none', url: `${empty.url}/silences` },
    { name: 'silence-new', url: at(`/silences/new?alert=${open.fingerprint}`) },
    { name: 'silence-problems', url: at('/silences/new'), before: submit },
    {
      name: 'silence-preview',
      url: at(`/silences/new?alert=${open.fingerprint}&scope=rule`),
      before: async (page) => {
        await page.locator('#f-by').fill('ada')
        await page.locator('#f-comment').fill('The whole street has no power until noon')
        await submit(page)
      },
    },
    { name: 'silence-extend', url: at(`/silences/${silenceId}/extend`) },
    { name: 'walks', url: at('/walks') },
    { name: 'rules', url: at('/rules') },
    { name: 'rules-none', url: `${empty.url}/rules` },
    { name: 'receivers', url: at('/receivers') },
  ]
}

async function submit(page: Page): Promise<void> {
  await page.locator('main form .buttons button').first().click()
  await page.waitForLoadState()
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

async function open(page: Page, { url, before }: Shown): Promise<void> {
  await page.goto(url)
  await before?.(page)
}

async function checkPages(browser: Browser, scene: Scene): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetwarden-pages-'))
  for (const locale of ['en-GB', 'de-AT']) {
    const language = locale.slice(0, 2)
    await inContext(browser, { locale, reducedMotion: 'reduce' }, async (page) => {
      for (const shown of shownPages(scene)) {
        await open(page, shown)
        await page.evaluate(axe.source)
        const told = await page.locator('html').getAttribute('lang')
        expect(`${shown.name}: speaks ${language}`, told === language, told)
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme })
          for (const [device, viewport] of Object.entries({ phone, desktop })) {
            await page.setViewportSize(viewport)
            const name = [shown.name, language, colorScheme, device].join('-')
            await checkAxe(page, name)
            await checkSizes(page, name)
            await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
          }
        }
      }
    })
  }
  console.log(`screenshots: ${folder}`)
}

async function checkSizes(page: Page, name: string): Promise<void> {
  expect(`${name}: has no bar to scroll sideways`, !(await isTooWide(page)))
  for (const button of await page.locator('main button:visible, main .actions .button:visible').all()) {
    const box = await button.boundingBox()
    expect(`${name}: has buttons for a thumb`, box !== null && box.height >= 44 && box.width >= 44, box)
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

/** 400 % of zoom is 320 CSS pixels (WCAG 1.4.10); and letters alone of twice the size (1.4.4). */
async function checkZoom(browser: Browser, scene: Scene): Promise<void> {
  for (const locale of ['en-GB', 'de-AT']) {
    await inContext(browser, { locale, viewport: { width: 320, height: 480 } }, async (page) => {
      for (const shown of shownPages(scene)) {
        await open(page, shown)
        expect(`${shown.name} ${locale}: fits at 400 %`, !(await isTooWide(page)))
        await page.setViewportSize({ width: 640, height: 480 })
        await page.evaluate("document.documentElement.style.fontSize = '200%'")
        expect(`${shown.name} ${locale}: fits with larger letters`, !(await isTooWide(page)))
        await page.setViewportSize({ width: 320, height: 480 })
      }
    })
  }
}

/** With Tab, Enter and typing alone, and no scripts: filter → alert → acknowledge → preview of a silence → set. */
async function checkKeyboard(browser: Browser): Promise<void> {
  await inContext(browser, { viewport: desktop, javaScriptEnabled: false }, async (page) => {
    await page.goto(server.url)
    await page.keyboard.press('Tab')
    expect('the first Tab leads past the menu', (await focused(page)) === 'Skip to the content')
    await tabTo(page, 'Filter')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/*edit=filter*')
    expect('the form begins in its first field', (await focusedId(page)) === 'f-q')
    await page.keyboard.type('daikin k-4701')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/?q=daikin+k-4701*')
    expect('filtered', (await page.locator('.row').count()) === 1)
    await tabTo(page, 'Daikin Altherma 3 heat pump')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/alerts/*')
    await tabTo(page, 'Acknowledge')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/acknowledge')
    expect('the name is asked first', (await focusedId(page)) === 'f-by')
    await page.keyboard.type('Ada')
    await page.keyboard.press('Tab')
    await page.keyboard.type('Calling the customer')
    await tabTo(page, 'Acknowledge')
    await page.keyboard.press('Enter')
    await page.getByText('Ada looks after it').waitFor({ timeout: 5_000 })
    await tabTo(page, 'Silence…')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/silences/new*')
    await tabTo(page, 'f-by')
    await page.keyboard.type('Ada')
    await tabTo(page, 'f-comment')
    await page.keyboard.type('A new one is being installed')
    await tabTo(page, 'Look what it would match')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/silences/preview')
    const preview = await page.locator('.preview .big').textContent()
    expect('the preview counts', preview?.startsWith('It would hold back 1 of ') === true, preview)
    expect(
      'and is not set yet',
      [...server.alerting.silenceMap.values()].every(({ createdBy }) => createdBy !== 'Ada'),
    )
    await tabTo(page, 'Set the silence')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/silences#s-*')
    const set = [...server.alerting.silenceMap.values()].find(({ createdBy }) => createdBy === 'Ada')
    expect('the silence is set', set?.comment === 'A new one is being installed', set)
  })
}

async function tabTo(page: Page, name: string): Promise<void> {
  for (let step = 0; step < 80; step++) {
    if ((await focused(page)) === name || (await focusedId(page)) === name) return
    await page.keyboard.press('Tab')
    const outline = await page.evaluate(
      "getComputedStyle(document.activeElement).outlineStyle + ' ' + document.activeElement.tagName",
    )
    expect(
      `${name}: what has the focus shows it`,
      String(outline).startsWith('solid') || String(outline).endsWith('BODY'),
      outline,
    )
  }
  throw new Error(`the keyboard does not lead to ${name} at ${page.url()}`)
}

async function focused(page: Page): Promise<string> {
  return String(await page.evaluate("document.activeElement?.textContent?.trim() ?? ''"))
}

async function focusedId(page: Page): Promise<string> {
  return String(await page.evaluate("document.activeElement?.id ?? ''"))
}

async function checkProblems(browser: Browser, { open: alert }: Scene): Promise<void> {
  await inContext(browser, { viewport: phone }, async (page) => {
    await page.goto(`${server.url}/alerts/${alert.fingerprint}/acknowledge`)
    await page.locator('#f-comment').fill('“quoted” <b>bold</b>')
    await page.locator('#f-duration').fill('soon')
    await submit(page)
    expect('typed text stays', (await page.locator('#f-comment').inputValue()) === '“quoted” <b>bold</b>')
    const described = await page.locator('#f-duration').getAttribute('aria-describedby')
    expect('the field names its problem', described?.includes('f-duration-problem') === true, described)
    await page.locator('.wrong-box a').first().click()
    expect('the list of problems leads to the field', page.url().endsWith('#f-by'), page.url())
  })
}

async function checkPreferences(browser: Browser): Promise<void> {
  await inContext(browser, { locale: 'en-GB', viewport: desktop }, async (page) => {
    await page.goto(`${server.url}/?manufacturer=Daikin`)
    await page.getByText('Auf Deutsch').click()
    await page.waitForURL('**/?manufacturer=Daikin')
    await page.getByRole('link', { name: 'Regeln' }).click()
    expect('the language is remembered', (await page.locator('html').getAttribute('lang')) === 'de')
    await page.getByRole('link', { name: /^Live/ }).click()
    const response = await page.goto(`${server.url}/`)
    expect('pages can be kept from reloading', response?.headers()['refresh'] === undefined)
  })
}

/** What a page of another site can do with a browser that may use ours. */
async function checkOtherSites(browser: Browser, { open: alert, silenceId }: Scene): Promise<void> {
  const action = `${server.url}/silences/${silenceId}/expire`
  const peer = createServer((_, response) => {
    const form = `<form method="post" action="${action}"><button>x</button></form>`
    const page = `<title>x</title><iframe src="${server.url}/alerts/${alert.fingerprint}"></iframe>${form}`
    response.writeHead(200, { 'Content-Type': 'text/html' }).end(page)
  }).listen(0)
  await once(peer, 'listening')
  await inContext(browser, {}, async (page) => {
    page.removeAllListeners('console')
    await page.goto(`http://localhost:${(peer.address() as AddressInfo).port}`)
    const text = await page
      .frames()[1]
      ?.evaluate('document.body.innerText')
      .catch(() => '')
    expect('no page of ours stands in a frame', !String(text).includes('Daikin'), text)
    await page.locator('button').click()
    await page.getByText('Not from here').waitFor({ timeout: 5_000 })
    const silence = server.alerting.silences.get(silenceId)
    expect('a form of another site ends no silence', (silence?.endsAt ?? 0) > systemClock.now())
  })
  peer.closeAllConnections()
  peer.close()
}

async function takePictures(browser: Browser, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  await inContext(browser, { locale: 'en-GB', viewport: { width: 960, height: 640 } }, async (page) => {
    await page.goto(server.url)
    await page.screenshot({ path: join(folder, 'page-alerts.png') })
    expect('took the alerts', true)
  })
  const dark = { locale: 'de-AT', colorScheme: 'dark', viewport: { width: 460, height: 900 } } as const
  await inContext(browser, dark, async (page) => {
    await page.goto(`${server.url}/alerts/${scene.open.fingerprint}`)
    await page.screenshot({ path: join(folder, 'page-alert-de.png') })
    expect('took an alert', true)
  })
}
