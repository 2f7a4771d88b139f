// What is said to an owner, in the languages that they read: whole sentences about one device or several,
// without a word that only we would use.

import type { OwnerLanguage } from '../config.ts'
import type { DeviceType } from '../fleet/device.ts'

/** `connection`: they have to log in again; `action`: something else waits for them. */
export type OwnerTask = 'connection' | 'action'

/** Device words take the manufacturer, or null where it is not told. All of it is plain text, to be escaped. */
export interface OwnerWords {
  /** `Your heat pump is no longer connected`; null: several devices. */
  subject(task: OwnerTask, type: DeviceType | null): string
  greeting(name: string | null): string
  /** What is the matter, and what it means for them. */
  intro(
    task: OwnerTask,
    device: { type: DeviceType; manufacturer: string | null; since: string } | null,
  ): string
  /** What to do, and what to have at hand. */
  todo(task: OwnerTask, count: number): string
  /** On the button, which leads to the first device. */
  button(task: OwnerTask, type: DeviceType | null): string
  /** Of a device in a list. */
  device(type: DeviceType, manufacturer: string | null): string
  since(date: string): string
  readonly link: Readonly<Record<OwnerTask, string>>
  readonly linkAsText: string
  readonly alreadyDone: string
  /** A line break goes between this and how to reach them. */
  readonly questions: string
  why(company: string): string
  readonly unsubscribe: string
}

const germanNouns: Readonly<Record<DeviceType, readonly [your: string, noun: string]>> = {
  heat_pump: ['Ihre', 'Wärmepumpe'],
  electric_vehicle: ['Ihr', 'Elektroauto'],
  inverter: ['Ihr', 'Wechselrichter'],
  wallbox: ['Ihre', 'Wallbox'],
}
const germanSeveral = 'Mehrere Ihrer Geräte'

/** `Ihre Wärmepumpe`: as subject of a sentence. */
const ihr = (type: DeviceType) => germanNouns[type].join(' ')

const german: OwnerWords = {
  subject: (task, type) =>
    task === 'connection'
      ? `${type === null ? `${germanSeveral} sind` : `${ihr(type)} ist`} nicht mehr verbunden`
      : `${type === null ? `${germanSeveral} brauchen` : `${ihr(type)} braucht`} Ihre Hilfe`,
  greeting: (name) => (name === null ? 'Guten Tag,' : `Guten Tag, ${name},`),
  intro(task, device) {
    if (device === null) {
      return task === 'connection'
        ? 'wir erreichen mehrere Ihrer Geräte nicht mehr, weil Ihre Anmeldung beim Hersteller nicht mehr gilt. Die Geräte laufen weiter, aber wir können sie nicht mehr für Sie steuern: Sie sparen derzeit nichts.'
        : 'bei mehreren Ihrer Geräte ist etwas zu erledigen, das nur Sie tun können. Bis dahin können wir sie nicht wie gewohnt für Sie steuern.'
    }
    const { type, manufacturer, since } = device
    // In the accusative, all four are as in the nominative but one.
    const your = type === 'inverter' ? 'Ihren Wechselrichter' : ihr(type)
    const name = `${your}${manufacturer === null ? '' : ` von ${manufacturer}`}`
    return task === 'connection'
      ? `seit ${since} erreichen wir ${name} nicht mehr, weil Ihre Anmeldung beim Hersteller nicht mehr gilt. Das Gerät läuft weiter, aber wir können es nicht mehr für Sie steuern: Sie sparen derzeit nichts.`
      : `seit ${since} wartet ${ihr(type)}${manufacturer === null ? '' : ` von ${manufacturer}`} auf etwas, das nur Sie erledigen können. Bis dahin können wir das Gerät nicht wie gewohnt für Sie steuern.`
  },
  todo: (task, count) =>
    task === 'connection'
      ? `Verbinden Sie ${count === 1 ? 'das Gerät' : 'die Geräte'} bitte neu. Das dauert zwei Minuten; halten Sie dafür die Zugangsdaten der App des Herstellers bereit.`
      : 'Wir führen Sie Schritt für Schritt durch das, was zu tun ist.',
  button(task, type) {
    if (type !== null) return task === 'connection' ? 'Wieder verbinden' : 'Jetzt erledigen'
    return task === 'connection' ? 'Erstes Gerät verbinden' : 'Mit dem ersten beginnen'
  },
  device: (type, manufacturer) =>
    `${germanNouns[type][1]}${manufacturer === null ? '' : ` von ${manufacturer}`}`,
  since: (date) => `seit ${date}`,
  link: { connection: 'Wieder verbinden', action: 'Erledigen' },
  linkAsText: 'Falls der Knopf nicht funktioniert, öffnen Sie diese Adresse:',
  alreadyDone: 'Schon erledigt? Dann brauchen Sie nichts weiter zu tun.',
  questions: 'Fragen? Wir helfen gern:',
  why: (company) =>
    `Sie erhalten diese E-Mail, weil ${company} Ihre Geräte für Sie steuert und etwas daran nur mit Ihnen wieder in Ordnung kommt.`,
  unsubscribe: 'Keine solchen E-Mails mehr',
}

const englishNouns: Readonly<Record<DeviceType, string>> = {
  heat_pump: 'heat pump',
  electric_vehicle: 'electric car',
  inverter: 'solar inverter',
  wallbox: 'wallbox',
}
const englishSeveral = 'Several of your devices'

const english: OwnerWords = {
  subject: (task, type) => {
    const name = type === null ? englishSeveral : `Your ${englishNouns[type]}`
    if (task === 'connection') return `${name} ${type === null ? 'are' : 'is'} no longer connected`
    return `${name} ${type === null ? 'need' : 'needs'} your help`
  },
  greeting: (name) => (name === null ? 'Hello,' : `Hello ${name},`),
  intro(task, device) {
    if (device === null) {
      return task === 'connection'
        ? 'We can no longer reach several of your devices, because your login with the manufacturer is no longer valid. They keep running, but we cannot steer them for you any more: you are saving nothing at present.'
        : 'There is something to do on several of your devices that only you can do. Until then we cannot steer them for you as usual.'
    }
    const { type, manufacturer, since } = device
    const name = `your ${manufacturer === null ? '' : `${manufacturer} `}${englishNouns[type]}`
    return task === 'connection'
      ? `Since ${since} we can no longer reach ${name}, because your login with the manufacturer is no longer valid. It keeps running, but we cannot steer it for you any more: you are saving nothing at present.`
      : `Since ${since} ${name} has been waiting for something that only you can do. Until then we cannot steer it for you as usual.`
  },
  todo: (task, count) =>
    task === 'connection'
      ? `Please connect ${count === 1 ? 'it' : 'them'} again. It takes two minutes; have the login of the manufacturer's app at hand.`
      : 'We take you through it step by step.',
  button(task, type) {
    if (type !== null) return task === 'connection' ? 'Connect again' : 'Do it now'
    return task === 'connection' ? 'Connect the first one' : 'Begin with the first one'
  },
  device: (type, manufacturer) =>
    manufacturer === null ? capital(englishNouns[type]) : `${manufacturer} ${englishNouns[type]}`,
  since: (date) => `since ${date}`,
  link: { connection: 'Connect again', action: 'Do it' },
  linkAsText: 'If the button does not work, open this address:',
  alreadyDone: 'Done already? Then there is nothing more to do.',
  questions: 'Questions? We are glad to help:',
  why: (company) =>
    `You get this e-mail because ${company} steers your devices for you, and something about them can only be put right with you.`,
  unsubscribe: 'No more e-mails like this',
}

function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}

export const ownerWords: Readonly<Record<OwnerLanguage, OwnerWords>> = { de: german, en: english }
