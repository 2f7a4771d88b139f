import { describe, expect, it } from 'vitest'
import { scrub } from '../../src/logger.ts'
import { statusError } from '../../src/partner/partner-error.ts'

describe('the message of a failed call', () => {
  it('names what was asked for, the status and the way out', () => {
    expect(statusError('token', 401, '').message).toBe(
      'partner API (token): HTTP 401: check partner.client_id and partner.client_secret, and that they belong to this environment',
    )
    expect(statusError('heat-pump', 503, '').message).toBe(
      'partner API (heat-pump): HTTP 503: the partner has a fault',
    )
  })

  it.each([302, 400, 401, 403, 404, 408, 410, 429, 500, 503])(
    'is not taken for a secret when it is logged: HTTP %i',
    (status) => {
      for (const endpoint of ['token', 'auth-me', 'auth-session', 'users']) {
        const { message } = statusError(endpoint, status, '')
        expect(scrub(message)).toBe(message)
      }
    },
  )
})
