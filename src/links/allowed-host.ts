// Where a link may send a browser. What the partner answers is taken for what a stranger might have
// written: an open redirect under our name would be worth a lot to somebody who fishes for logins.

/**
 * The URL as a browser reads it, or null if it may not be opened: not https (http only to this machine),
 * with a user or a password, of a host that no pattern allows, or written so that two parsers may
 * disagree about its host.
 *
 * A pattern is `host`, `host:port`, `*.host` or `*.host:port`, in lower case; `*.host` is what lies below
 * `host`, not `host` itself. Without a port it allows the scheme's own alone.
 */
export function allowedUrl(text: string, patterns: readonly string[]): URL | null {
  // URL parsers take backslashes for slashes, skip slashes too many, and drop tabs and line breaks.
  if (!/^https?:\/\/[^/?#@\s\\\p{Cc}]+(?:[/?#][^\s\\\p{Cc}]*)?$/iu.test(text)) return null
  const url = URL.parse(text)
  if (url === null || url.username !== '' || url.password !== '') return null
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isThisMachine(url.hostname))) return null
  return patterns.some((pattern) => fits(url, pattern)) ? url : null
}

function fits({ host, protocol }: URL, pattern: string): boolean {
  // `host` leaves the scheme's own port out, so a pattern may not name that.
  const wanted = pattern.replace(protocol === 'https:' ? /:443$/ : /:80$/, '')
  return wanted.startsWith('*.')
    ? host.endsWith(wanted.slice(1)) && host.length > wanted.length - 1
    : host === wanted
}

function isThisMachine(hostname: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname)
}
