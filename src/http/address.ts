// Addresses and names of machines, as sockets and requests show them.

import { isIPv4 } from 'node:net'

/** As people write it: IPv4 without the form that a socket for both families gives it, no zone. */
export function plainAddress(address: string): string {
  const bare = address.replace(/%.*$/s, '')
  return /^::ffff:\d/i.test(bare) ? bare.slice('::ffff:'.length) : bare
}

export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false
  const plain = plainAddress(address)
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'))
}

/** `name`: without a port; an IPv6 address with or without its brackets. */
export function isLoopbackName(name: string): boolean {
  const plain = withoutBrackets(name)
  return plain.toLowerCase() === 'localhost' || isLoopbackAddress(plain)
}

/** Of a Host header, without the port; empty: it is none. */
export function hostnameOf(host: string): string {
  return /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(host)?.[1] ?? ''
}

export function withoutBrackets(name: string): string {
  return name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name
}
