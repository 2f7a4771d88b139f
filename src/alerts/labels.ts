// The labels that identify an alert. What changes from reading to reading (values, names,
// addresses, links) is never a label: it would make each change a new alert.

import type { Device, DeviceIdentity } from '../fleet/device.ts'
import type { User } from '../fleet/user.ts'
import type { AffectedParty, Labels } from './alert.ts'

/** What every alert has, or those about devices and users; rules add to them. */
export const identityLabels = [
  ...['alertname', 'severity', 'device_type', 'manufacturer', 'user_id', 'device_id'],
  // Of fleet rules, and of built-in alerts.
  ...['model', 'price_zone', 'rule', 'silence_id'],
] as const

export function deviceLabels(
  alertname: string,
  { device, user, labels }: { device: DeviceIdentity; user: { id: string }; labels: Labels },
): Labels {
  return {
    ...labels,
    alertname,
    device_type: device.type,
    manufacturer: device.manufacturer,
    user_id: user.id,
    device_id: device.id,
  }
}

export function userLabels(
  alertname: string,
  { user, labels }: { user: { id: string }; labels: Labels },
): Labels {
  return { ...labels, alertname, user_id: user.id }
}

/** `group`: the values of the rule's `by`; empty for rules about the service. */
export function fleetLabels(alertname: string, { group, labels }: { group: Labels; labels: Labels }): Labels {
  return { ...labels, ...group, alertname }
}

export const nobody: AffectedParty = { externalUserId: null, name: null, email: null, model: null }

/** Who is affected by an alert about `user`, and about `device` if there is one. */
export function affectedParty(user: User | null, device: Device | null): AffectedParty {
  const name = [user?.first_name, user?.last_name].filter((part) => part != null && part !== '').join(' ')
  return {
    externalUserId: user?.external_user_id ?? null,
    name: name === '' ? null : name,
    email: user?.email ?? null,
    model: device === null || device.model === 'unknown' ? null : device.model,
  }
}
