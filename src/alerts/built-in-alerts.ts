// Two alerts that no rule file has, since they are about alerts:
//
//   DeviceNoData        an alert fires and its device could not be seen for a while, so nobody can
//                       say whether it still should. Ends when the device is seen, or the alert ends.
//   AlertLimitReached   a rule holds for more subjects than its limit; the surplus is told of here.

import { deviceName } from '../fleet/device.ts'
import type { RuleBase } from '../rules/rule.ts'
import { type Alert, isFiring, subjectKey } from './alert.ts'
import type { AlertBook } from './alert-book.ts'
import { nobody } from './labels.ts'
import { birthOf } from './lifecycle.ts'
import { type AlertContent, builtInId, type Raise } from './raise.ts'

export interface BuiltInAlerts {
  /** `heldBack`: by rule id, how many alerts its limit held back since the last call. */
  limits(rules: Iterable<RuleBase>, heldBack: ReadonlyMap<string, number>, at: number): void
  /** `patience`: evaluations without data after which a rule's alert is worth telling of; undefined: never. */
  unseenDevices(patience: (ruleId: string) => number | undefined, at: number): void
}

const deviceNoDataId = builtInId('DeviceNoData')
const limitReachedId = builtInId('AlertLimitReached')

export function createBuiltInAlerts(book: AlertBook, raise: Raise): BuiltInAlerts {
  function limits(rules: Iterable<RuleBase>, heldBack: ReadonlyMap<string, number>, at: number): void {
    for (const rule of rules) {
      if (rule.limit === null) continue
      const count = heldBack.get(rule.id) ?? 0
      raise(
        { ruleId: limitReachedId, subject: { kind: 'fleet', group: `limit/${rule.id}` }, at },
        count > 0,
        () => ({
          labels: { alertname: 'AlertLimitReached', severity: 'warning', rule: rule.alert },
          affected: nobody,
          annotations: {
            summary: `${rule.alert} holds for ${count} more than its limit of ${rule.limit}: only the first are told`,
          },
        }),
      )
    }
  }

  function unseenDevices(patience: (ruleId: string) => number | undefined, at: number): void {
    const unseen = new Map<string, Alert>()
    const told: Alert[] = []
    for (const alert of book.all()) {
      if (alert.ruleId === deviceNoDataId && isFiring(alert)) told.push(alert)
      else if (isUnseen(alert, patience)) unseen.set(subjectKey(alert.subject), alert)
    }
    for (const alert of unseen.values()) {
      raise({ ruleId: deviceNoDataId, subject: alert.subject, at }, true, () => noDataOf(alert))
    }
    for (const alert of told) {
      if (unseen.has(subjectKey(alert.subject))) continue
      raise({ ruleId: deviceNoDataId, subject: alert.subject, at }, false, () => birthOf(alert))
    }
  }

  return { limits, unseenDevices }
}

function isUnseen(alert: Alert, patience: (ruleId: string) => number | undefined): boolean {
  if (alert.subject.kind !== 'device' || alert.noData === null || !isFiring(alert)) return false
  const after = patience(alert.ruleId)
  return after !== undefined && alert.noData.evaluations >= after
}

function noDataOf(alert: Alert): AlertContent {
  const { alertname = '', ...inherited } = alert.labels
  const { manufacturer = 'unknown' } = inherited
  const name =
    alert.subject.kind === 'device' ? deviceName({ type: alert.subject.deviceType, manufacturer }) : 'device'
  return {
    // Every other label is inherited, so that it goes to whoever owns the alert that it is about.
    labels: { ...inherited, alertname: 'DeviceNoData', rule: alertname },
    affected: alert.affected,
    annotations: {
      summary: `${name} cannot be seen: whether ${alertname} is over is not known`,
      description: `${alertname} fires, and since then the device could not be read (${alert.noData?.reason}).`,
    },
  }
}
