import type { UnreadReason } from '../fleet/reading.ts'

interface PartnerErrorDetails {
  readonly kind: UnreadReason
  /** A label without ids: `users`, `heat-pump`, `token`, … */
  readonly endpoint: string
  readonly status?: number
  /** What went wrong and the way out; never a URL, an id, a token, or text from an answer. */
  readonly problem: string
  /** What the partner wrote about it, see errorDetail. */
  readonly detail?: string | null
  readonly wasSent?: boolean
  readonly cause?: unknown
}

/** The partner could not be asked, or gave no answer that can be used. It says nothing about a device. */
export class PartnerError extends Error {
  override readonly name = 'PartnerError'
  readonly kind: UnreadReason
  readonly endpoint: string
  readonly status: number | null
  /** The partner's own words, for a person who sent a change; may hold what that person sent. */
  readonly detail: string | null
  /** False: nothing reached the partner, so a change was certainly not made. */
  readonly wasSent: boolean

  constructor({ kind, endpoint, status, problem, detail, wasSent, cause }: PartnerErrorDetails) {
    super(`partner API (${endpoint}): ${problem}`, cause === undefined ? {} : { cause })
    this.kind = kind
    this.endpoint = endpoint
    this.status = status ?? null
    this.detail = detail ?? null
    this.wasSent = wasSent ?? true
  }
}

/** The answers whose status says that the call failed. */
export function statusError(endpoint: string, status: number, body: string): PartnerError {
  const detail = endpoint === 'token' ? null : errorDetail(body)
  const failed = (kind: UnreadReason, problem: string) =>
    new PartnerError({ kind, endpoint, status, problem, detail })
  if (status === 401 || status === 403) {
    const way =
      endpoint === 'token'
        ? 'check partner.client_id and partner.client_secret, and that they belong to this environment'
        : 'the token of this service is not accepted here'
    return failed('unauthorized', `HTTP ${status}: ${way}`)
  }
  if (status === 404 || status === 410) return failed('not_found', `HTTP ${status}: there is no such thing`)
  if (status === 408) return failed('timeout', 'HTTP 408: the partner gave up waiting')
  if (status === 429) return failed('rate_limited', 'HTTP 429: too many requests')
  if (status >= 500) return failed('server_error', `HTTP ${status}: the partner has a fault`)
  if (status >= 300 && status < 400)
    return failed('client_error', `HTTP ${status}: redirects are not followed; check partner.base_url`)
  return failed('client_error', `HTTP ${status}: the partner does not accept this call`)
}

const longestDetail = 300

/**
 * What an error body says, in one line of at most 300 characters: the `detail` or `message` of a
 * JSON object, else the whole of a JSON body; null for anything else, such as a proxy's page. URLs
 * lose their query, which may carry a secret.
 */
function errorDetail(body: string): string | null {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return null
  }
  const { detail, message } = (typeof value === 'object' && value !== null ? value : {}) as {
    detail?: unknown
    message?: unknown
  }
  const said = typeof detail === 'string' ? detail : typeof message === 'string' ? message : body
  return said
    .replaceAll(/\?[^\s"'<>]*=[^\s"'<>]*/g, '?…')
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .slice(0, longestDetail)
}
