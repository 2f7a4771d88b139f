import type { SendOutcome } from '../backoffice/patient-sending.ts'
import { ServiceError } from './service-client.ts'

/** One change of many: what the service's answer means for the next try, and for the next change. */
export async function sent<T>(change: () => Promise<T>): Promise<SendOutcome<T>> {
  try {
    return { kind: 'done', answer: await change() }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    const { kind, status, retryAfterMs, message } = error
    if (kind === 'unreachable' || status === 429 || status === 503) {
      return { kind: 'later', problem: message, waitMs: retryAfterMs }
    }
    // Who may not do one may do none.
    if (status === 401 || status === 403) throw error
    return { kind: 'refused', problem: message }
  }
}
