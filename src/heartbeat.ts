// The sign of life to a dead man's switch: an outside service that raises an alarm when it stays
// away. Sent only when a walk was read, evaluated and delivered; when that is, monitor.ts decides.

import { Agent, request } from 'undici'
import type { Secret } from './secret.ts'

/** `reason` never holds the URL, which is all that it takes to keep the alarm quiet. */
export type HeartbeatOutcome = { readonly kind: 'ok' } | { readonly kind: 'failed'; readonly reason: string }

export interface HeartbeatOptions {
  readonly url: Secret
  /** For all of it, from the name's lookup to the answer. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * One GET, without data, to the URL. A redirect is a failure: who takes the beats is for the operator
 * to say, not for a server. Never rejects.
 */
export async function sendHeartbeat({ url, timeoutMs, signal }: HeartbeatOptions): Promise<HeartbeatOutcome> {
  const timeout = AbortSignal.timeout(timeoutMs)
  // Of its own, and ended with it: between two beats there are minutes, and no socket is kept.
  const agent = new Agent({ connect: { timeout: timeoutMs } })
  try {
    const { statusCode, body } = await request(url.reveal(), {
      dispatcher: agent,
      signal: AbortSignal.any([signal, timeout]),
      headers: { 'user-agent': 'fleetwarden' },
    })
    // The answer's text means nothing; what counts has arrived with the status.
    body.on('error', () => undefined).destroy()
    return statusCode >= 200 && statusCode < 300 ? { kind: 'ok' } : failed(`answered ${statusCode}`)
  } catch (error) {
    if (signal.aborted) return failed('stopped')
    if (timeout.aborted) return failed(`no answer within ${timeoutMs} ms`)
    return failed(reasonOf(error))
  } finally {
    await agent.destroy()
  }
}

function failed(reason: string): HeartbeatOutcome {
  return { kind: 'failed', reason }
}

/** The code alone (ECONNREFUSED, UND_ERR_SOCKET, …): messages may quote the URL. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure'
  if ('code' in error && error.code === 'UND_ERR_INVALID_ARG') return 'the URL is not valid'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
