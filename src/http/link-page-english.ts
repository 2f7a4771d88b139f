// The pages of links in English.

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

const devices: DeviceWords<string> = {
  heat_pump: 'heat pump',
  electric_vehicle: 'electric car',
  inverter: 'solar inverter',
  wallbox: 'wallbox',
}
const dates = createDates('en-GB')

export const englishWords: LinkPageWords = {
  text: (view, situation, now) =>
    view.purpose === 'staff' ? staffText(view, situation, now) : ownerText(view, situation),
  notice,
  device(view) {
    const device = devices[view.deviceType]
    const maker = makerOf(view)
    return maker === null ? device.charAt(0).toUpperCase() + device.slice(1) : `${maker} ${device}`
  },
  alert: ({ alertname }) => shown(alertname),
  since(view, now) {
    const age = now - view.since
    if (view.purpose === 'staff') return [`For ${span(age)} (since `, dates.instant(view.since, now), ')']
    return age < dayMs
      ? ['For ', span(age), '']
      : [`For ${span(age)} (since `, dates.day(view.since, now), ')']
  },
  lasted: (view, resolvedAt) => (view.purpose === 'staff' ? `Lasted ${span(resolvedAt - view.since)}` : null),
  stepsTitle: 'What happens next',
  checkingBar: 'How much of the time for checking has passed',
  refreshing: 'This page refreshes by itself.',
  stopRefreshing: 'Stop refreshing',
  refresh: 'Refresh this page',
  goOn: 'Continue',
  footer: {
    owner: 'This page is meant for you alone. Please don’t pass the link on.',
    staff:
      'Whoever has this link can begin the customer’s reconnection. Give it to the customer and to colleagues only.',
  },
  unsubscribe: {
    ask: {
      badge: 'E-mails',
      heading: 'Stop these e-mails?',
      text: [
        'We write to you when one of your devices needs you, for instance because it has lost its connection.',
        'If you unsubscribe, we won’t do that any more.',
      ],
      action: 'Unsubscribe',
    },
    done: {
      badge: 'Done',
      heading: 'You are unsubscribed',
      text: ['We won’t send you any more of these e-mails.'],
    },
  },
}

function span(ms: number): string {
  const rounded = spanOf(ms)
  return rounded === null ? 'less than a minute' : spanWords(rounded)
}

function spanWords({ count, unit }: Span): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

function ownerText(view: LinkView, situation: Situation): PageText {
  const device = devices[view.deviceType]
  const topic = ownerTopicOf(view)
  const isConnection = topic === 'connection'
  switch (situation.kind) {
    case 'open':
      return { ...ownerProblem(view), ...ownerButton(view) }
    case 'checking':
      return {
        badge: 'Checking',
        heading: isConnection ? 'We are checking the connection' : `We are checking your ${device}`,
        text: [
          'This takes up to a few minutes.',
          'You may close this page, and open the link in your message again later.',
        ],
      }
    case 'still_wrong':
      return ownerStillWrong(view, situation.reason)
    case 'resolved':
      return isConnection
        ? {
            badge: 'Connected',
            heading: `Your ${device} is connected again`,
            text: ['Thank you! There is nothing left for you to do.'],
          }
        : {
            badge: 'All is well',
            heading: `Your ${device} is fine again`,
            text: ['There is nothing left for you to do.'],
          }
    case 'cancelled':
      return {
        badge: 'Not finished',
        heading: 'Not finished yet',
        text: [`You came back before the last step, so nothing has changed for your ${device}.`],
        ...ownerButton(view),
      }
    case 'healthy':
      return {
        badge: 'All is well',
        heading: `Your ${device} is ${isConnection ? 'connected' : 'fine'}`,
        text: ['There is nothing left for you to do.'],
      }
    case 'gone':
      return ownerGone(device)
    case 'nothing_to_open':
      return {
        badge: 'Nothing to do here',
        heading: 'There is nothing you can do here',
        text: [
          `What is the matter with your ${device} can’t be put right on this page.`,
          'If it lasts, please contact our customer service.',
        ],
      }
    case 'rate_limited':
      return {
        badge: 'Please wait',
        heading: 'Just a moment, please',
        text: [
          `This was tried very often in a short time. Please try again in ${spanWords(waitOf(situation.retryAfterMs))}.`,
          'Your link keeps working.',
        ],
        action: 'Try again',
      }
    case 'unavailable':
      return {
        badge: 'Not available',
        heading: 'This doesn’t work right now',
        text: [
          'A service that we need for it can’t be reached. This is not your fault.',
          'Please try again in a few minutes. Your link keeps working.',
        ],
        action: 'Try again',
      }
    case 'refused_host':
      return {
        badge: 'Stopped',
        heading: 'We can’t take you there',
        text: [
          'The page that would come next is not one that we know, so we stopped here for your safety.',
          'Please contact our customer service.',
        ],
      }
  }
}

function ownerProblem(view: LinkView): PageText {
  const device = devices[view.deviceType]
  const maker = makerOf(view) ?? 'The manufacturer'
  const topic = ownerTopicOf(view)
  switch (topic) {
    case 'connection':
      return {
        badge: 'Not connected',
        heading: `Your ${device} is no longer connected`,
        text: [
          `${maker} no longer lets us reach it, for instance after a changed password. Sign in once, and it is connected again.`,
        ],
      }
    case 'step':
      return {
        badge: 'Waiting for you',
        heading: `Your ${device} needs one step from you`,
        text: [`${maker} asks you to confirm something. It usually takes a minute.`],
      }
    case 'silent':
      return {
        badge: 'No contact',
        heading: `We hear nothing from your ${device}`,
        text: ['Nothing has reached us for a while. Renewing the connection often helps.'],
      }
    case 'steering':
      return {
        badge: 'Limited',
        heading: `We can’t steer your ${device} right now`,
        text: [
          'It keeps running, but not at the cheapest hours of the day. Renewing the connection often helps.',
        ],
      }
    case 'other':
      return {
        badge: 'Needs you',
        heading: `Your ${device} needs your attention`,
        text: ['Something is not as it should be. The button takes you to where you can put it right.'],
      }
  }
}

function ownerButton(view: LinkView): Pick<PageText, 'steps' | 'action'> {
  const maker = makerOf(view) ?? 'the manufacturer'
  return ownerTopicOf(view) === 'connection'
    ? {
        steps: [
          `You go to the sign-in page of ${maker}.`,
          'You sign in there and agree.',
          'You come back here, and we check the connection.',
        ],
        action: 'Reconnect now',
      }
    : {
        steps: [`You go to a page of ${maker}.`, 'You follow the steps there.', 'You come back here.'],
        action: 'Continue',
      }
}

function ownerStillWrong(view: LinkView, reason: StillWrong): PageText {
  const device = devices[view.deviceType]
  const button = { ...ownerButton(view), action: 'Try again' }
  switch (reason) {
    case 'not_authenticated':
      return {
        badge: 'Not connected',
        heading: `Your ${device} is not connected yet`,
        text: [
          `Please try once more. Use the account in which your ${device} is registered, and agree to everything that is asked there.`,
          'If that doesn’t help, please contact our customer service.',
        ],
        ...button,
      }
    case 'action_pending':
      return {
        badge: 'Waiting for you',
        heading: 'One step is still missing',
        text: [`Your ${device} is still waiting for a confirmation. Please go through the steps once more.`],
        ...button,
      }
    case 'unread':
      return {
        badge: 'Not known yet',
        heading: 'We could not check it yet',
        text: [
          `Your ${device} may well be fine, but we can’t see it right now.`,
          'Please open the link in your message again later.',
        ],
        action: 'Try again',
      }
    case 'gone':
      return ownerGone(device)
  }
}

function ownerGone(device: string): PageText {
  return {
    badge: 'Removed',
    heading: `This ${device} is no longer registered`,
    text: [
      'It is not among your devices any more. If that is a mistake, please contact our customer service.',
    ],
  }
}

function staffText(view: LinkView, situation: Situation, now: number): PageText {
  const device = devices[view.deviceType]
  switch (situation.kind) {
    case 'open':
      return {
        badge: 'Firing',
        heading:
          ownerTopicOf(view) === 'connection'
            ? `This ${device} has to be reconnected`
            : `This ${device} needs somebody to act`,
        text: ['What comes next acts for the customer: go on only together with them.'],
        ...staffButton(view),
      }
    case 'checking':
      return {
        badge: 'Checking',
        heading: 'Reading the device again',
        text: [
          'Somebody came back from the manufacturer. The device is read again and again for a few minutes, and the alert resolves as soon as a reading shows that it is over.',
        ],
      }
    case 'still_wrong':
      return {
        badge: situation.reason === 'unread' ? 'Not known' : 'Still firing',
        ...staffStillWrong(device, situation.reason),
        text: [
          ...staffStillWrong(device, situation.reason).text,
          `Last looked at: ${dates.instant(situation.checkedAt, now)}.`,
        ],
        ...(situation.reason === 'gone' ? {} : { ...staffButton(view), action: 'Try again' }),
      }
    case 'resolved':
      return {
        badge: 'Resolved',
        heading: situation.verifiedAfterMs === null ? 'This alert is over' : 'Verified',
        text: [
          situation.verifiedAfterMs === null
            ? `It ended at ${dates.instant(situation.resolvedAt, now)}.`
            : `Verified ${stopwatch(situation.verifiedAfterMs)} after reconnection, at ${dates.instant(situation.resolvedAt, now)}.`,
        ],
      }
    case 'cancelled':
      return {
        badge: 'Still firing',
        heading: 'Cancelled before the end',
        text: [`Nothing has changed at the ${device}.`],
        ...staffButton(view),
      }
    case 'healthy':
      return {
        badge: 'Healthy',
        heading: `This ${device} is healthy already`,
        text: [
          'The partner answered just now that it is authenticated and that nothing is pending. It is evaluated again at once; the alert resolves when its rule says so.',
        ],
      }
    case 'gone':
      return {
        badge: 'Removed',
        heading: `The partner no longer has this ${device}`,
        text: [
          'It was deleted, or moved to another user. The alert ends once the next readings say so, too.',
        ],
      }
    case 'nothing_to_open':
      return {
        badge: 'No link',
        heading: 'Nothing that could be opened',
        text: [
          situation.codes.length === 0
            ? 'The partner has no pending action for this device.'
            : `Pending at the partner, without a link: ${codeList(situation.codes)}.`,
          'Follow the runbook of this alert, or ask the partner’s support.',
        ],
      }
    case 'rate_limited':
      return {
        badge: 'Please wait',
        heading: 'Too many attempts',
        text: [
          `Links are opened at a limited rate. Try again in ${spanWords(waitOf(situation.retryAfterMs))}. This link stays valid.`,
        ],
        action: 'Try again',
      }
    case 'unavailable':
      return {
        badge: 'Not available',
        heading: 'The partner can’t be asked right now',
        text: [
          'The Partner API did not answer as it should, so there is no fresh link. This one stays valid: try again in a few minutes.',
          'If it lasts, see whether PartnerApiUnavailable is firing.',
        ],
        action: 'Try again',
      }
    case 'refused_host':
      return {
        badge: 'Refused',
        heading: 'The partner’s link leads elsewhere',
        text: [
          'It leads to a host that is not among the allowed ones, so nobody is sent there.',
          'If the host is right, add it to the configuration; if not, tell the partner.',
        ],
      }
  }
}

function staffButton(view: LinkView): Pick<PageText, 'steps' | 'action'> {
  const isConnection = ownerTopicOf(view) === 'connection'
  return {
    steps: [
      'The device is read again, and the partner is asked for a fresh link.',
      `You go on to ${isConnection ? 'the manufacturer’s sign-in page' : 'the page where it is resolved'}.`,
      'Afterwards you come back here, and the device is read at once.',
    ],
    action: isConnection ? 'Reconnect' : 'Open what is pending',
  }
}

function staffStillWrong(device: string, reason: StillWrong): Pick<PageText, 'heading' | 'text'> {
  switch (reason) {
    case 'not_authenticated':
      return {
        heading: 'Still not authenticated',
        text: [`After the return, every reading said so.`],
      }
    case 'action_pending':
      return { heading: 'An action is still pending', text: ['After the return, it did not go away.'] }
    case 'unread':
      return {
        heading: 'Could not be read',
        text: ['It may be over, but no reading shows it. The next walk tries again.'],
      }
    case 'gone':
      return {
        heading: `The partner no longer has this ${device}`,
        text: ['The alert ends once the next readings say so, too.'],
      }
  }
}

function codeList(codes: readonly string[]): string {
  const some = codes.slice(0, 5).map((code) => shown(code, 60))
  return [...some, ...(codes.length > some.length ? [`${codes.length - some.length} more`] : [])].join(', ')
}

function notice(kind: Notice): PageText {
  switch (kind) {
    case 'not_found':
      return {
        badge: 'Not found',
        heading: 'This link does not work',
        text: [
          'It may be incomplete, it may be too old, or the matter may be settled by now.',
          'Please open the link from the newest message that you have.',
        ],
      }
    case 'method_not_allowed':
      return { badge: 'Error', heading: 'This page can’t do that', text: ['Please open the link again.'] }
    case 'cross_site':
      return {
        badge: 'Stopped',
        heading: 'This came from another page',
        text: ['For your safety, we did nothing. Please open the link itself, and press the button there.'],
      }
    case 'too_large':
      return {
        badge: 'Error',
        heading: 'That was too much',
        text: ['More was sent than this page expects. Please open the link again.'],
      }
    case 'not_a_form':
      return {
        badge: 'Error',
        heading: 'That was not understood',
        text: ['Something else was sent than this page expects. Please open the link again.'],
      }
    case 'internal_error':
      return {
        badge: 'Error',
        heading: 'Something went wrong here',
        text: ['Please try again in a few minutes. Your link keeps working.'],
      }
  }
}
