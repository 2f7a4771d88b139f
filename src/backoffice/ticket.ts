// A user's troubles in words for a support ticket. Tickets are read by many and kept for long, so there is
// nothing personal in it: ids that lead back to the customer, devices, alerts. No text of a rule either: what
// an operator's annotation says may name somebody.

import { formatDuration } from '../duration.ts'
import { type Device, deviceName } from '../fleet/device.ts'
import type { UserStory } from './back-office.ts'
import { healthOf, healthWords } from './device-health.ts'

export function ticketOf(story: UserStory, now: number): string {
  const { account, devices, unread, alerts, contracts } = story
  const lines = [`Fleetwarden-User: ${account.id}`, `Customer: ${customerOf(account.external_user_id)}`]
  if (account.country !== null) lines.push(`Country: ${oneLine(account.country)}`)
  const troubled = devices.filter((device) => healthOf(device) !== 'ok').length
  lines.push(`Devices: ${devices.length}${troubled === 0 ? '' : `, ${troubled} not in order`}`)
  if (contracts !== null) lines.push(`Energy contracts: ${contracts.length}`)
  for (const { deviceType, reason } of unread) lines.push(`Not read: ${deviceType} (${reason})`)
  for (const device of devices) lines.push('', ...deviceLines(device, story, now))
  const ofUser = alerts.filter(({ alert }) => alert.subject.kind === 'user')
  if (ofUser.length > 0) lines.push('', 'About the user:', ...ofUser.flatMap((open) => alertLines(open, now)))
  lines.push('', `As of ${instant(now)}`)
  return `${lines.join('\n')}\n`
}

function deviceLines(device: Device, { alerts }: UserStory, now: number): string[] {
  const own = alerts.filter(
    ({ alert: { subject } }) => subject.kind === 'device' && subject.deviceId === device.id,
  )
  const pending = device.actions?.map(({ code }) => oneLine(code)) ?? []
  return [
    `${deviceName(device)} ${device.model === 'unknown' ? '' : `(${device.model}) `}${device.id}: ${healthWords[healthOf(device)]}`,
    ...(pending.length === 0 ? [] : [`  pending: ${pending.join(', ')}`]),
    ...own.flatMap((open) => alertLines(open, now)),
  ]
}

function alertLines({ alert, link }: UserStory['alerts'][number], now: number): string[] {
  const { alertname = '', severity = '' } = alert.labels
  const since = alert.firedAt ?? alert.activeAt
  return [
    `  ${alertname}${severity === '' ? '' : ` (${severity})`} since ${instant(since)}, for ${formatDuration(Math.max(0, now - since))}; alert ${alert.fingerprint}`,
    ...(link === null ? [] : [`    link: ${link}`]),
  ]
}

/** Some utilities number their customers by e-mail address: then it is personal. */
function customerOf(externalId: string | null): string {
  if (externalId === null || externalId === '') return 'no external id'
  return externalId.includes('@') ? 'not shown: the external id is an e-mail address' : oneLine(externalId)
}

function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16)}Z`
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
}
