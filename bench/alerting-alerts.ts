// The alerts that Alertmanager and we are measured with: 100,000 in 500 groups, one for each of 10
// rules and 50 manufacturers.

import type { DeviceType } from '../src/fleet/device.ts'

export const manufacturers = 50
const rules = 10
export const groupCount = manufacturers * rules
const alertsPerGroup = 200
export const alertCount = groupCount * alertsPerGroup

export interface BenchAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly device: { readonly userId: string; readonly deviceType: DeviceType; readonly deviceId: string }
}

export const groupBy = ['alertname', 'manufacturer']

/** What asks for exactly a hundred of them; another hundred for each `turn`, up to 50. */
export function hundredOf(turn: number): readonly string[] {
  return [`manufacturer="${manufacturerName(turn)}"`, 'alertname="DeviceTrouble3"', 'device_type="heat_pump"']
}

function manufacturerName(index: number): string {
  return `m${index % manufacturers}`
}

/** Each group's first comes early, so that all groups begin at about the same time. */
export function* benchAlerts(): Generator<BenchAlert> {
  for (let index = 0; index < alertCount; index++) {
    const group = index % groupCount
    const member = Math.floor(index / groupCount)
    const userId = id(index >> 1, 'aaaa')
    const deviceType = member % 2 === 0 ? 'heat_pump' : 'inverter'
    const deviceId = id(index, 'bbbb')
    const alertname = `DeviceTrouble${Math.floor(group / manufacturers)}`
    yield {
      device: { userId, deviceType, deviceId },
      labels: {
        alertname,
        manufacturer: manufacturerName(group),
        device_id: deviceId,
        user_id: userId,
        device_type: deviceType,
        severity: 'warning',
      },
      annotations: {
        summary: `Device ${deviceId} lost its connection: the customer has to log in again`,
        description:
          "The manufacturer's cloud no longer accepts the login that the customer gave, so this device is neither read nor steered.",
      },
    }
  }
}

function id(index: number, family: string): string {
  return `${((index * 2_654_435_761) % 4_294_967_296).toString(16).padStart(8, '0')}-0000-4000-${family}-${index.toString(16).padStart(12, '0')}`
}
