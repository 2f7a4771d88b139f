// What an API answers in the place of what was asked for. The message is for whoever asked, so it
// holds nothing that they did not send or may not see.

export type ApiErrorStatus = 400 | 403 | 404 | 409 | 413 | 422 | 429 | 501 | 502 | 503

export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: ApiErrorStatus

  constructor(status: ApiErrorStatus, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.status = status
  }
}
