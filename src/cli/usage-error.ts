/** A wrong command line that commander can't tell from a right one: a matcher that is none, say. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
