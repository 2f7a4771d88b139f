// What a link could open for a person, by what the partner says of the device: one thing, or none.

import type { Device, ResolutionLink } from '../fleet/device.ts'

/** The shapes that the partner has documented for it over time, as the audit trail names them. */
export type LinkShape = 'url' | 'call' | 'authorization_url' | 'auth_session'

export type Opening =
  | {
      readonly shape: Exclude<LinkShape, 'auth_session'>
      readonly code: string
      readonly link: ResolutionLink
    }
  | { readonly shape: 'auth_session'; readonly code: typeof reauthenticate }

const reauthenticate = 'reauthenticate'
// What we have to give. An action that asks for more is not for us to open.
const knownParameters: ReadonlySet<string> = new Set(['successUrl', 'cancelUrl', 'language'])

/**
 * Null: nothing is pending that could be opened. While a device is not authenticated nothing else works on
 * it, so that comes first; after it the actions in the partner's order.
 */
export function openingOf(device: Device): Opening | null {
  const openable = (device.actions ?? []).filter(
    ({ link }) => link !== null && unknownParameters(link).length === 0,
  )
  const isLost = device.is_authenticated === false
  const reconnect = isLost ? openable.find(({ code }) => code === reauthenticate) : undefined
  // Documented for these two, and for no other type.
  if (isLost && reconnect === undefined && hasSessions(device)) {
    return { shape: 'auth_session', code: reauthenticate }
  }
  const action = reconnect ?? openable[0]
  if (action === undefined || action.link === null) return null
  return { shape: shapeOf(action.link), code: action.code, link: action.link }
}

/** All is well as far as the partner says: connected, and nothing for the person to do that a link could open. */
export function isWell(device: Device): boolean {
  return device.is_authenticated === true && openingOf(device) === null
}

/** Codes of what is pending. */
export function pendingCodes({ actions }: Device): readonly string[] {
  return (actions ?? []).map(({ code }) => code)
}

/** What its actions require and we do not know: names of parameters. */
export function unknownParametersOf({ actions }: Pick<Device, 'actions'>): readonly string[] {
  return (actions ?? []).flatMap(({ link }) => (link === null ? [] : unknownParameters(link)))
}

function unknownParameters({ requiredParameters }: ResolutionLink): readonly string[] {
  return requiredParameters.filter((parameter) => !knownParameters.has(parameter))
}

function hasSessions({ type }: Device): boolean {
  return type === 'electric_vehicle' || type === 'inverter'
}

function shapeOf({ kind, validUntil }: ResolutionLink): 'url' | 'call' | 'authorization_url' {
  if (kind === 'post') return 'call'
  // Of the oldest kind nothing says for how long it works; see partner/decode.ts.
  return validUntil === null ? 'authorization_url' : 'url'
}
