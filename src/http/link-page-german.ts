// The pages of links in German. Devices come in their cases, since their articles differ.

import type { LinkView, StillWrong } from '../links/link-desk.ts'
import {
  createDates,
  type DeviceWords,
  dayMs,
  type LinkPageWords,
  makerOf,
  type Notice,
  ownerTopicOf,
  type PageText,
  type Situation,
  type Span,
  shown,
  spanOf,
  stopwatch,
  waitOf,
} from './link-page-words.ts'

interface Forms {
  readonly name: string
  /** Ihre Wärmepumpe: nominative. */
  readonly your: string
  /** Accusative. */
  readonly yourObject: string
  /** Dative. */
  readonly toYour: string
  /** diese Wärmepumpe: nominative. */
  readonly this: string
  /** Accusative. */
  readonly thisObject: string
  readonly it: string
}

const devices: DeviceWords<Forms> = {
  heat_pump: {
    name: 'Wärmepumpe',
    your: 'Ihre Wärmepumpe',
    yourObject: 'Ihre Wärmepumpe',
    toYour: 'Ihrer Wärmepumpe',
    this: 'Diese Wärmepumpe',
    thisObject: 'diese Wärmepumpe',
    it: 'sie',
  },
  electric_vehicle: {
    name: 'Elektroauto',
    your: 'Ihr Elektroauto',
    yourObject: 'Ihr Elektroauto',
    toYour: 'Ihrem Elektroauto',
    this: 'Dieses Elektroauto',
    thisObject: 'dieses Elektroauto',
    it: 'es',
  },
  inverter: {
    name: 'Wechselrichter',
    your: 'Ihr Wechselrichter',
    yourObject: 'Ihren Wechselrichter',
    toYour: 'Ihrem Wechselrichter',
    this: 'Dieser Wechselrichter',
    thisObject: 'diesen Wechselrichter',
    it: 'er',
  },
  wallbox: {
    name: 'Wallbox',
    your: 'Ihre Wallbox',
    yourObject: 'Ihre Wallbox',
    toYour: 'Ihrer Wallbox',
    this: 'Diese Wallbox',
    thisObject: 'diese Wallbox',
    it: 'sie',
  },
}
const dates = createDates('de')
const units = {
  minute: ['Minute', 'Minuten'],
  hour: ['Stunde', 'Stunden'],
  // Dative, as after „seit“ and „in“.
  day: ['Tag', 'Tagen'],
} as const

export const germanWords: LinkPageWords = {
  text: (view, situation, now) =>
    view.purpose === 'staff' ? staffText(view, situation, now) : ownerText(view, situation),
  notice,
  device(view) {
    const { name } = devices[view.deviceType]
    const maker = makerOf(view)
    return maker === null ? name : `${name} von ${maker}`
  },
  alert: ({ alertname }) => shown(alertname),
  since(view, now) {
    const age = now - view.since
    if (view.purpose === 'staff') return [`Seit ${span(age)} (`, dates.instant(view.since, now), ')']
    return age < dayMs ? ['Seit ', span(age), ''] : [`Seit ${span(age)} (`, dates.day(view.since, now), ')']
  },
  lasted: (view, resolvedAt) =>
    view.purpose === 'staff' ? `Nach ${span(resolvedAt - view.since)} beendet` : null,
  stepsTitle: 'So geht es weiter',
  checkingBar: 'Wie viel der Zeit für die Prüfung vergangen ist',
  refreshing: 'Diese Seite aktualisiert sich von selbst.',
  stopRefreshing: 'Nicht mehr aktualisieren',
  refresh: 'Seite aktualisieren',
  goOn: 'Weiter',
  footer: {
    owner: 'Diese Seite ist nur für Sie bestimmt. Bitte geben Sie den Link nicht weiter.',
    staff:
      'Wer diesen Link hat, kann das Gerät des Kunden neu verbinden. Bitte nur an den Kunden und innerhalb des Teams weitergeben.',
  },
  unsubscribe: {
    ask: {
      badge: 'E‑Mails',
      heading: 'Diese E‑Mails abbestellen?',
      text: [
        'Wir schreiben Ihnen, wenn eines Ihrer Geräte Sie braucht, zum Beispiel weil es nicht mehr verbunden ist.',
        'Wenn Sie abbestellen, tun wir das nicht mehr.',
      ],
      action: 'Abbestellen',
    },
    done: {
      badge: 'Erledigt',
      heading: 'Sie haben die E‑Mails abbestellt',
      text: ['Wir schicken Ihnen keine weiteren E‑Mails dieser Art.'],
    },
  },
}

function span(ms: number): string {
  const rounded = spanOf(ms)
  return rounded === null ? 'weniger als einer Minute' : spanWords(rounded)
}

function spanWords({ count, unit }: Span): string {
  return `${count} ${units[unit][count === 1 ? 0 : 1]}`
}

function ownerText(view: LinkView, situation: Situation): PageText {
  const device = devices[view.deviceType]
  const isConnection = ownerTopicOf(view) === 'connection'
  switch (situation.kind) {
    case 'open':
      return { ...ownerProblem(view), ...ownerButton(view) }
    case 'checking':
      return {
        badge: 'Wird geprüft',
        heading: isConnection ? 'Wir prüfen die Verbindung' : `Wir prüfen ${device.yourObject}`,
        text: [
          'Das dauert bis zu ein paar Minuten.',
          'Sie können die Seite auch schließen und den Link in Ihrer Nachricht später wieder öffnen.',
        ],
      }
    case 'still_wrong':
      return ownerStillWrong(view, situation.reason)
    case 'resolved':
      return isConnection
        ? {
            badge: 'Verbunden',
            heading: `${device.your} ist wieder verbunden`,
            text: ['Vielen Dank! Sie müssen nichts weiter tun.'],
          }
        : {
            badge: 'In Ordnung',
            heading: `Mit ${device.toYour} ist alles wieder in Ordnung`,
            text: ['Sie müssen nichts weiter tun.'],
          }
    case 'cancelled':
      return {
        badge: 'Nicht fertig',
        heading: 'Noch nicht fertig',
        text: [
          `Sie sind vor dem letzten Schritt zurückgekommen. An ${device.toYour} hat sich deshalb nichts geändert.`,
        ],
        ...ownerButton(view),
      }
    case 'healthy':
      return {
        badge: 'In Ordnung',
        heading: isConnection ? `${device.your} ist verbunden` : `Mit ${device.toYour} ist alles in Ordnung`,
        text: ['Sie müssen nichts weiter tun.'],
      }
    case 'gone':
      return ownerGone(device)
    case 'nothing_to_open':
      return {
        badge: 'Nichts zu tun',
        heading: 'Hier können Sie nichts tun',
        text: [
          `Was ${device.yourObject} betrifft, lässt sich auf dieser Seite nicht beheben.`,
          'Wenn es so bleibt, wenden Sie sich bitte an unseren Kundendienst.',
        ],
      }
    case 'rate_limited':
      return {
        badge: 'Bitte warten',
        heading: 'Einen Moment, bitte',
        text: [
          `Das wurde in kurzer Zeit sehr oft versucht. Bitte versuchen Sie es in ${spanWords(waitOf(situation.retryAfterMs))} noch einmal.`,
          'Ihr Link bleibt gültig.',
        ],
        action: 'Noch einmal versuchen',
      }
    case 'unavailable':
      return {
        badge: 'Nicht erreichbar',
        heading: 'Das geht gerade nicht',
        text: [
          'Ein Dienst, den wir dafür brauchen, ist nicht erreichbar. Das liegt nicht an Ihnen.',
          'Bitte versuchen Sie es in ein paar Minuten noch einmal. Ihr Link bleibt gültig.',
        ],
        action: 'Noch einmal versuchen',
      }
    case 'refused_host':
      return {
        badge: 'Angehalten',
        heading: 'Wir können Sie nicht weiterleiten',
        text: [
          'Die nächste Seite ist uns nicht bekannt. Zu Ihrer Sicherheit geht es hier nicht weiter.',
          'Bitte wenden Sie sich an unseren Kundendienst.',
        ],
      }
  }
}

function ownerProblem(view: LinkView): PageText {
  const device = devices[view.deviceType]
  const maker = makerOf(view) ?? 'Der Hersteller'
  const topic = ownerTopicOf(view)
  switch (topic) {
    case 'connection':
      return {
        badge: 'Nicht verbunden',
        heading: `${device.your} ist nicht mehr verbunden`,
        text: [
          `${maker} gibt uns keinen Zugriff mehr, zum Beispiel nach einem geänderten Passwort. Melden Sie sich einmal neu an, dann ist ${device.it} wieder verbunden.`,
        ],
      }
    case 'step':
      return {
        badge: 'Wartet auf Sie',
        heading: `${device.your} braucht einen Schritt von Ihnen`,
        text: [`${maker} bittet Sie um eine Bestätigung. Das dauert meist nur eine Minute.`],
      }
    case 'silent':
      return {
        badge: 'Kein Kontakt',
        heading: `Wir hören nichts von ${device.toYour}`,
        text: ['Seit einer Weile kommt nichts mehr bei uns an. Oft hilft es, die Verbindung zu erneuern.'],
      }
    case 'steering':
      return {
        badge: 'Eingeschränkt',
        heading: `Wir können ${device.yourObject} gerade nicht steuern`,
        text: [
          'Der Betrieb läuft weiter, aber nicht zu den günstigsten Stunden des Tages. Oft hilft es, die Verbindung zu erneuern.',
        ],
      }
    case 'other':
      return {
        badge: 'Braucht Sie',
        heading: `${device.your} braucht Ihre Aufmerksamkeit`,
        text: [
          'Etwas ist nicht so, wie es sein soll. Die Schaltfläche führt Sie dorthin, wo Sie es in Ordnung bringen können.',
        ],
      }
  }
}

function ownerButton(view: LinkView): Pick<PageText, 'steps' | 'action'> {
  const maker = makerOf(view)
  const of = maker === null ? 'des Herstellers' : `von ${maker}`
  return ownerTopicOf(view) === 'connection'
    ? {
        steps: [
          `Sie kommen zur Anmeldeseite ${of}.`,
          'Dort melden Sie sich an und stimmen zu.',
          'Danach sind Sie wieder hier, und wir prüfen die Verbindung.',
        ],
        action: 'Jetzt neu verbinden',
      }
    : {
        steps: [
          `Sie kommen zu einer Seite ${of}.`,
          'Dort folgen Sie den Anweisungen.',
          'Danach sind Sie wieder hier.',
        ],
        action: 'Weiter',
      }
}

function ownerStillWrong(view: LinkView, reason: StillWrong): PageText {
  const device = devices[view.deviceType]
  const button = { ...ownerButton(view), action: 'Noch einmal versuchen' }
  switch (reason) {
    case 'not_authenticated':
      return {
        badge: 'Nicht verbunden',
        heading: `${device.your} ist noch nicht verbunden`,
        text: [
          `Bitte versuchen Sie es noch einmal. Verwenden Sie das Konto, in dem ${device.your} registriert ist, und stimmen Sie dort allem zu.`,
          'Wenn das nicht hilft, wenden Sie sich bitte an unseren Kundendienst.',
        ],
        ...button,
      }
    case 'action_pending':
      return {
        badge: 'Wartet auf Sie',
        heading: 'Ein Schritt fehlt noch',
        text: [
          `${device.your} wartet noch auf eine Bestätigung. Bitte gehen Sie die Schritte noch einmal durch.`,
        ],
        ...button,
      }
    case 'unread':
      return {
        badge: 'Noch offen',
        heading: 'Wir konnten es noch nicht prüfen',
        text: [
          `Mit ${device.toYour} kann alles in Ordnung sein, wir sehen es nur gerade nicht.`,
          'Bitte öffnen Sie den Link in Ihrer Nachricht später noch einmal.',
        ],
        action: 'Noch einmal versuchen',
      }
    case 'gone':
      return ownerGone(device)
  }
}

function ownerGone(device: Forms): PageText {
  return {
    badge: 'Entfernt',
    heading: `${device.this} ist nicht mehr registriert`,
    text: [
      `Unter Ihren Geräten ist ${device.it} nicht mehr zu finden. Wenn das ein Irrtum ist, wenden Sie sich bitte an unseren Kundendienst.`,
    ],
  }
}

function staffText(view: LinkView, situation: Situation, now: number): PageText {
  const device = devices[view.deviceType]
  switch (situation.kind) {
    case 'open':
      return {
        badge: 'Aktiv',
        heading:
          ownerTopicOf(view) === 'connection'
            ? `${device.this} muss neu verbunden werden`
            : `${device.this} braucht jemanden`,
        text: ['Der nächste Schritt handelt für den Kunden: bitte nur gemeinsam mit ihm weitergehen.'],
        ...staffButton(view),
      }
    case 'checking':
      return {
        badge: 'Wird geprüft',
        heading: 'Das Gerät wird neu abgefragt',
        text: [
          'Jemand ist vom Hersteller zurückgekommen. Das Gerät wird einige Minuten lang immer wieder abgefragt, und die Meldung endet, sobald eine Abfrage zeigt, dass es vorbei ist.',
        ],
      }
    case 'still_wrong':
      return {
        badge: situation.reason === 'unread' ? 'Nicht bekannt' : 'Weiter aktiv',
        ...staffStillWrong(device, situation.reason),
        text: [
          ...staffStillWrong(device, situation.reason).text,
          `Zuletzt angesehen: ${dates.instant(situation.checkedAt, now)}.`,
        ],
        ...(situation.reason === 'gone' ? {} : { ...staffButton(view), action: 'Noch einmal versuchen' }),
      }
    case 'resolved':
      return {
        badge: 'Behoben',
        heading: situation.verifiedAfterMs === null ? 'Diese Meldung ist beendet' : 'Bestätigt',
        text: [
          situation.verifiedAfterMs === null
            ? `Beendet: ${dates.instant(situation.resolvedAt, now)}.`
            : `Bestätigt ${stopwatch(situation.verifiedAfterMs)} nach dem neuen Verbinden: ${dates.instant(situation.resolvedAt, now)}.`,
        ],
      }
    case 'cancelled':
      return {
        badge: 'Weiter aktiv',
        heading: 'Vor dem Ende abgebrochen',
        text: ['Am Gerät hat sich nichts geändert.'],
        ...staffButton(view),
      }
    case 'healthy':
      return {
        badge: 'In Ordnung',
        heading: `${device.this} ist schon in Ordnung`,
        text: [
          'Der Partner hat gerade geantwortet: angemeldet, und nichts steht an. Das Gerät wird sofort neu bewertet; die Meldung endet, wenn ihre Regel es sagt.',
        ],
      }
    case 'gone':
      return {
        badge: 'Entfernt',
        heading: `Der Partner hat ${device.thisObject} nicht mehr`,
        text: [
          'Das Gerät wurde gelöscht oder gehört jetzt jemand anderem. Die Meldung endet, sobald auch die nächsten Abfragen das zeigen.',
        ],
      }
    case 'nothing_to_open':
      return {
        badge: 'Kein Link',
        heading: 'Nichts, das sich öffnen ließe',
        text: [
          situation.codes.length === 0
            ? 'Beim Partner steht für dieses Gerät nichts an.'
            : `Beim Partner steht an, aber ohne Link: ${codeList(situation.codes)}.`,
          'Folgen Sie dem Runbook dieser Meldung, oder fragen Sie den Support des Partners.',
        ],
      }
    case 'rate_limited':
      return {
        badge: 'Bitte warten',
        heading: 'Zu viele Versuche',
        text: [
          `Links lassen sich nur begrenzt oft öffnen. Bitte in ${spanWords(waitOf(situation.retryAfterMs))} noch einmal versuchen. Dieser Link bleibt gültig.`,
        ],
        action: 'Noch einmal versuchen',
      }
    case 'unavailable':
      return {
        badge: 'Nicht erreichbar',
        heading: 'Der Partner ist gerade nicht zu fragen',
        text: [
          'Die Partner-API hat nicht so geantwortet, wie sie soll, darum gibt es keinen frischen Link. Dieser hier bleibt gültig: bitte in ein paar Minuten noch einmal versuchen.',
          'Wenn es so bleibt: Sehen Sie nach, ob PartnerApiUnavailable aktiv ist.',
        ],
        action: 'Noch einmal versuchen',
      }
    case 'refused_host':
      return {
        badge: 'Abgelehnt',
        heading: 'Der Link des Partners führt woandershin',
        text: [
          'Er führt zu einem Host, der nicht erlaubt ist, darum wird niemand dorthin geschickt.',
          'Wenn der Host richtig ist, nehmen Sie ihn in die Konfiguration auf; wenn nicht, sagen Sie es dem Partner.',
        ],
      }
  }
}

function staffButton(view: LinkView): Pick<PageText, 'steps' | 'action'> {
  const isConnection = ownerTopicOf(view) === 'connection'
  return {
    steps: [
      'Das Gerät wird neu abgefragt und der Partner um einen frischen Link gebeten.',
      `Sie kommen ${isConnection ? 'zur Anmeldeseite des Herstellers' : 'zu der Seite, auf der es sich beheben lässt'}.`,
      'Danach sind Sie wieder hier, und das Gerät wird sofort abgefragt.',
    ],
    action: isConnection ? 'Neu verbinden' : 'Anstehendes öffnen',
  }
}

function staffStillWrong(device: Forms, reason: StillWrong): Pick<PageText, 'heading' | 'text'> {
  switch (reason) {
    case 'not_authenticated':
      return {
        heading: 'Weiterhin nicht angemeldet',
        text: [`Seit der Rückkehr hieß es bei jeder Abfrage: nicht angemeldet.`],
      }
    case 'action_pending':
      return { heading: 'Es steht noch etwas an', text: ['Seit der Rückkehr ist es nicht verschwunden.'] }
    case 'unread':
      return {
        heading: 'Nicht abzufragen',
        text: [
          'Vielleicht ist es vorbei, aber keine Abfrage zeigt es. Der nächste Durchgang versucht es wieder.',
        ],
      }
    case 'gone':
      return {
        heading: `Der Partner hat ${device.thisObject} nicht mehr`,
        text: ['Die Meldung endet, sobald auch die nächsten Abfragen das zeigen.'],
      }
  }
}

function codeList(codes: readonly string[]): string {
  const some = codes.slice(0, 5).map((code) => shown(code, 60))
  return [...some, ...(codes.length > some.length ? [`${codes.length - some.length} weitere`] : [])].join(
    ', ',
  )
}

function notice(kind: Notice): PageText {
  switch (kind) {
    case 'not_found':
      return {
        badge: 'Nicht gefunden',
        heading: 'Dieser Link funktioniert nicht',
        text: [
          'Vielleicht ist er unvollständig oder zu alt, oder die Sache ist inzwischen erledigt.',
          'Bitte öffnen Sie den Link aus der neuesten Nachricht, die Sie haben.',
        ],
      }
    case 'method_not_allowed':
      return {
        badge: 'Fehler',
        heading: 'Das kann diese Seite nicht',
        text: ['Bitte öffnen Sie den Link noch einmal.'],
      }
    case 'cross_site':
      return {
        badge: 'Angehalten',
        heading: 'Das kam von einer anderen Seite',
        text: [
          'Zu Ihrer Sicherheit haben wir nichts getan. Bitte öffnen Sie den Link selbst, und drücken Sie dort die Schaltfläche.',
        ],
      }
    case 'too_large':
      return {
        badge: 'Fehler',
        heading: 'Das war zu viel',
        text: ['Es kam mehr an, als diese Seite erwartet. Bitte öffnen Sie den Link noch einmal.'],
      }
    case 'not_a_form':
      return {
        badge: 'Fehler',
        heading: 'Das war nicht zu verstehen',
        text: ['Es kam etwas anderes an, als diese Seite erwartet. Bitte öffnen Sie den Link noch einmal.'],
      }
    case 'internal_error':
      return {
        badge: 'Fehler',
        heading: 'Hier ist etwas schiefgegangen',
        text: ['Bitte versuchen Sie es in ein paar Minuten noch einmal. Ihr Link bleibt gültig.'],
      }
  }
}
