// What the simulator answers to a request, before it goes through the wire.

export interface Answer {
  readonly status: number
  /** Pieces are made while they are sent: a list of a million users is never whole in memory. */
  readonly body: string | Iterable<string>
  readonly headers: Readonly<Record<string, string>>
}

export function json(value: unknown, status = 200): Answer {
  return { status, body: JSON.stringify(value), headers: jsonHeaders }
}

/** An error body as Django REST framework writes it. */
export function failure(status: number, detail: string): Answer {
  return json({ detail }, status)
}

export function jsonPieces(pieces: Iterable<string>): Answer {
  return { status: 200, body: pieces, headers: jsonHeaders }
}

export function html(page: string, status = 200): Answer {
  return { status, body: page, headers: htmlHeaders }
}

/** See Other: the browser goes on with GET. */
export function redirect(location: string): Answer {
  return { status: 303, body: '', headers: { location, 'cache-control': 'no-store' } }
}

const jsonHeaders = { 'content-type': 'application/json' }

// Pages carry secrets in their URL, so they are neither kept nor told to the next site.
const htmlHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  'referrer-policy': 'no-referrer',
}

/** Text for HTML, in content and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
