// What an API answers in the place of what was asked for. The message is for whoever asked, so it
// holds nothing that they did not send or may not see.

import type { Context } from 'hono'

export type ApiErrorStatus = 400 | 401 | 403 | 404 | 409 | 413 | 422 | 429 | 501 | 502 | 503

export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: ApiErrorStatus

  constructor(status: ApiErrorStatus, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.status = status
  }
}

/** In the form that errors have below the path that was asked for. */
export function answerError(context: Context, status: ApiErrorStatus, message: string): Response {
  const { path } = context.req
  if (path.startsWith('/api/v2/')) return context.json(message, status)
  if (path.startsWith('/api/')) return context.json({ error: message }, status)
  return context.text(`${message}\n`, status)
}
