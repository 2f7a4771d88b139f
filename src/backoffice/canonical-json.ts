// One text for one value: what is hashed has to come out the same whoever wrote it, in whatever order
// its keys were set. As RFC 8785 (JSON Canonicalization Scheme) has it:
//
// - no white space; keys sorted by their UTF-16 code units, own ones only, `__proto__` being a key like
//   any other;
// - numbers and texts as ECMAScript's JSON.stringify writes them (1e21, -0 as 0);
// - members that are undefined are left out.
//
// Unlike there, a lone surrogate is no error: it is written as its \u escape, which reads back the same.
// What JSON has no word for (NaN, Infinity, a bigint, a function, undefined in a list, a Date or any
// other object with a class) is refused: two different values would have one text.

/** @throws TypeError for what JSON has no word for, and for what contains itself. */
export function canonicalJson(value: unknown): string {
  return text(value, [])
}

function text(value: unknown, above: readonly object[]): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value)
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`JSON has no word for ${value}`)
      return JSON.stringify(value)
    case 'object':
      return value === null ? 'null' : objectText(value, above)
    default:
      throw new TypeError(`JSON has no word for a ${typeof value}`)
  }
}

function objectText(value: object, above: readonly object[]): string {
  if (above.includes(value)) throw new TypeError('JSON has no word for what contains itself')
  const path = [...above, value]
  // Array.from, since map would skip the holes of a list, and leave them out of the text.
  if (Array.isArray(value)) return `[${Array.from(value, (item) => text(item, path)).join(',')}]`
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError('JSON has no word for an object with a class')
  }
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${text(member, path)}`)
  return `{${members.join(',')}}`
}
