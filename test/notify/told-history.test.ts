import { describe, expect, it } from 'vitest'
import type { Alert } from '../../src/alerts/alert.ts'
import type { HistoryWhat } from '../../src/alerts/history.ts'
import type { DispatcherEvents } from '../../src/notify/delivery.ts'
import type { Integration, Notification, NotificationReason } from '../../src/notify/notification.ts'
import { notingTold } from '../../src/notify/told-history.ts'
import { noon, resolvedAlert, sampleAlert, sampleNotification } from './sample.ts'

const integration: Integration = {
  ...{ receiver: 'on-call', kind: 'slack', index: 1, sendResolved: true, minimumSpacingMs: 0 },
  send: async () => ({ kind: 'ok' }),
  close: async () => {},
}

function deliver(notification: Notification, toldBefore: readonly string[] = []) {
  const noted: [string, HistoryWhat, number][] = []
  const passedOn: unknown[] = []
  const events: DispatcherEvents = {
    onAttempt() {},
    onDelivered: (...all) => void passedOn.push(all),
    ...{ onFailure() {}, onWithheld() {}, onDropped() {}, onStorageError() {} },
  }
  const history = {
    add: (alert: Alert, what: HistoryWhat, at: number) => void noted.push([alert.fingerprint, what, at]),
  }
  const noting = notingTold(events, { history, now: () => noon })
  noting.onDelivered(notification, integration, ['x@example.com'], toldBefore)
  expect(passedOn).toEqual([[notification, integration, ['x@example.com'], toldBefore]])
  return noted
}

const firing = [sampleAlert(1), sampleAlert(2), sampleAlert(3)]

describe('what is noted of a message', () => {
  it('is for the members that it tells for the first time', () => {
    const notification = sampleNotification({ firing, reason: 'new alerts' })
    const what = {
      ...{ kind: 'told', status: 'firing', reason: 'new alerts' },
      ...{ receiver: 'on-call', integration: 'slack/1' },
    }
    expect(deliver(notification, ['f1', 'f3'])).toEqual([['f2', what, noon]])
    expect(deliver(sampleNotification({ firing })).map(([print]) => print)).toEqual(['f1', 'f2', 'f3'])
  })

  it('is for those that have resolved, and not for those that fire still', () => {
    const notification = sampleNotification({
      ...{ firing, resolved: [resolvedAlert(4)], reason: 'some resolved' },
    })
    expect(deliver(notification, ['f1', 'f2', 'f3', 'f4'])).toEqual([
      ['f4', expect.objectContaining({ status: 'resolved', reason: 'some resolved' }), noon],
    ])
  })

  it.each(['repeat', 'acknowledged reminder', 'silence ended', 'flapping'] satisfies NotificationReason[])(
    'is for all that fire, when it is: %s',
    (reason) => {
      const noted = deliver(sampleNotification({ firing, reason }), ['f1', 'f2', 'f3'])
      expect(noted.map(([print]) => print)).toEqual(['f1', 'f2', 'f3'])
    },
  )
})
