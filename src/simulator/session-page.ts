// The pages of simulated sessions: HTML without scripts, in English and German. Everything that comes
// from the fleet or from a link is escaped, and only web addresses become links.

import type { DeviceType } from '../fleet/device.ts'
import { type Answer, escapeHtml, html } from './answer.ts'
import { deviceTypeNames } from './catalogue.ts'
import type { SimulatedDevice } from './fleet.ts'

/** True for what a browser may be sent to: nothing that runs, and nothing relative. */
export function isWebUrl(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)
}

export function notice(
  words: Words,
  { status, title, text }: { status: number; title: string; text: string },
): Answer {
  return layout(words, { status, title, content: `<p>${escapeHtml(text)}</p>` })
}

export function form(
  words: Words,
  page: {
    title: string
    text: string
    device: SimulatedDevice | null
    buttons: readonly { label: string; type?: DeviceType }[]
    query: URLSearchParams
  },
): Answer {
  const { device } = page
  const facts =
    device === null
      ? ''
      : `<dl><dt>${escapeHtml(words.device)}</dt><dd>${escapeHtml(`${device.manufacturer.name} ${device.model}`)}</dd>` +
        `<dt>${escapeHtml(words.kind)}</dt><dd>${escapeHtml(deviceTypeNames[device.type].long)}</dd></dl>`
  const buttons = page.buttons
    .map(({ label, type }) => {
      const value = type === undefined ? '' : ` name="type" value="${type}"`
      return `<button${value}>${escapeHtml(label)}</button>`
    })
    .join('')
  const cancelUrl = page.query.get('cancel_url')
  const cancel = cancelUrl !== null && isWebUrl(cancelUrl) ? link(cancelUrl, words.cancel) : ''
  // Without `action` the form goes to the page's own address, with the secret that is in it.
  const content = `<p>${escapeHtml(page.text)}</p>${facts}<form method="post">${buttons}</form>${cancel}`
  return layout(words, { title: page.title, content })
}

export function link(url: string, label: string): string {
  return `<p><a href="${escapeHtml(url)}">${escapeHtml(label)}</a></p>`
}

export function layout(
  words: Words,
  { status = 200, title, content }: { status?: number; title: string; content: string },
): Answer {
  const heading = escapeHtml(title)
  return html(
    `<!doctype html><html lang="${words.language}"><head><meta charset="utf-8"><title>${heading}</title>` +
      '<meta name="viewport" content="width=device-width,initial-scale=1">' +
      `<style>${style}</style></head><body><main><h1>${heading}</h1>${content}` +
      `<footer>${escapeHtml(words.footer)}</footer></main></body></html>`,
    status,
  )
}

const style =
  ':root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;' +
  'font:16px/1.5 system-ui,sans-serif;background:light-dark(#eef2f0,#151a18);color:light-dark(#1c2522,#e6ece9)}' +
  'main{box-sizing:border-box;width:min(30rem,92vw);padding:2rem;border-radius:1rem;' +
  'background:light-dark(#fff,#1f2724);box-shadow:0 8px 30px #0002}h1{margin:0 0 .5rem;font-size:1.4rem}' +
  'dl{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1rem;margin:1rem 0}dt{opacity:.7}dd{margin:0}' +
  'form{display:grid;gap:.6rem;margin-top:1.2rem}button{font:inherit;font-weight:600;padding:.7rem;border:0;' +
  'border-radius:.6rem;background:#0b7a53;color:#fff;cursor:pointer}button:hover,button:focus-visible{background:#075f40}' +
  'a{color:light-dark(#0b7a53,#5fd3a5)}footer{margin-top:1.5rem;font-size:.8rem;opacity:.6}'

export interface Words {
  readonly language: string
  readonly device: string
  readonly kind: string
  readonly cancel: string
  readonly goOn: string
  readonly footer: string
  readonly doneTitle: string
  readonly connectedText: string
  readonly reconnectTitle: (manufacturer: string) => string
  readonly reconnectText: (cloudService: string) => string
  readonly reconnectButton: string
  readonly outageTitle: (manufacturer: string) => string
  readonly outageText: (manufacturer: string) => string
  readonly settleTitle: (manufacturer: string) => string
  readonly settleText: (code: string) => string
  readonly settleButton: string
  readonly settledTitle: string
  readonly settledText: string
  readonly expiredTitle: string
  readonly expiredText: string
  readonly wrongTitle: string
  readonly wrongText: string
  readonly goneTitle: string
  readonly goneText: string
  readonly onboardTitle: string
  readonly onboardText: string
  readonly fullTitle: string
  readonly fullText: string
  readonly types: Readonly<Record<DeviceType, string>>
}

export const english: Words = {
  language: 'en',
  device: 'Device',
  kind: 'Type',
  cancel: 'Cancel',
  goOn: 'Continue',
  footer: 'Simulated page: no real account is touched.',
  doneTitle: 'Done',
  connectedText: 'The device is connected. You can close this page.',
  reconnectTitle: (manufacturer) => `Reconnect your ${manufacturer}`,
  reconnectText: (cloudService) => `${cloudService} no longer lets us read your device. Sign in once more.`,
  reconnectButton: 'Sign in and reconnect',
  outageTitle: (manufacturer) => `${manufacturer} does not answer`,
  outageText: (manufacturer) => `The cloud of ${manufacturer} is out of order. Please try again later.`,
  settleTitle: (manufacturer) => `Your ${manufacturer} needs you`,
  settleText: (code) => `One thing is open: ${code}.`,
  settleButton: 'Confirm',
  settledTitle: 'Nothing to do',
  settledText: 'This has been settled already. You can close this page.',
  expiredTitle: 'This link has expired',
  expiredText: 'Links work for one hour. Ask for a new one.',
  wrongTitle: 'This link is not valid',
  wrongText: 'Check that the address is complete, or ask for a new link.',
  goneTitle: 'Not found',
  goneText: 'This device or account no longer exists.',
  onboardTitle: 'Connect a device',
  onboardText: 'Which device would you like to connect?',
  fullTitle: 'No more devices',
  fullText: 'This account has as many devices as it can have.',
  types: {
    heat_pump: 'Heat pump',
    electric_vehicle: 'Electric vehicle',
    inverter: 'Inverter',
    wallbox: 'Wallbox',
  },
}

export const german: Words = {
  language: 'de',
  device: 'Gerät',
  kind: 'Art',
  cancel: 'Abbrechen',
  goOn: 'Weiter',
  footer: 'Simulierte Seite: kein echtes Konto ist betroffen.',
  doneTitle: 'Fertig',
  connectedText: 'Das Gerät ist verbunden. Sie können diese Seite schließen.',
  reconnectTitle: (manufacturer) => `${manufacturer} neu verbinden`,
  reconnectText: (cloudService) =>
    `${cloudService} lässt uns Ihr Gerät nicht mehr lesen. Bitte melden Sie sich neu an.`,
  reconnectButton: 'Anmelden und verbinden',
  outageTitle: (manufacturer) => `${manufacturer} antwortet nicht`,
  outageText: (manufacturer) =>
    `Die Cloud von ${manufacturer} ist gestört. Bitte versuchen Sie es später noch einmal.`,
  settleTitle: (manufacturer) => `${manufacturer} braucht Sie`,
  settleText: (code) => `Eines ist noch offen: ${code}.`,
  settleButton: 'Bestätigen',
  settledTitle: 'Nichts zu tun',
  settledText: 'Das ist schon erledigt. Sie können diese Seite schließen.',
  expiredTitle: 'Dieser Link ist abgelaufen',
  expiredText: 'Links gelten eine Stunde. Bitte fordern Sie einen neuen an.',
  wrongTitle: 'Dieser Link ist ungültig',
  wrongText: 'Ist die Adresse vollständig? Sonst fordern Sie bitte einen neuen Link an.',
  goneTitle: 'Nicht gefunden',
  goneText: 'Dieses Gerät oder Konto gibt es nicht mehr.',
  onboardTitle: 'Gerät verbinden',
  onboardText: 'Welches Gerät möchten Sie verbinden?',
  fullTitle: 'Keine weiteren Geräte',
  fullText: 'Dieses Konto hat so viele Geräte, wie es haben kann.',
  types: {
    heat_pump: 'Wärmepumpe',
    electric_vehicle: 'Elektroauto',
    inverter: 'Wechselrichter',
    wallbox: 'Wallbox',
  },
}
