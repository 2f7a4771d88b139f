// Numbers of records as a short text: `3-7,9`. A person's records come in runs.

/** `seqs` ascending, each once. */
export function formatRanges(seqs: readonly number[]): string {
  const ranges: { from: number; to: number }[] = []
  for (const seq of seqs) {
    const last = ranges.at(-1)
    if (last !== undefined && seq === last.to + 1) last.to = seq
    else ranges.push({ from: seq, to: seq })
  }
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(',')
}

/** Null: the text is none. */
export function parseRanges(text: unknown): readonly { readonly from: number; readonly to: number }[] | null {
  if (text === '') return []
  if (typeof text !== 'string' || !/^\d{1,15}(?:-\d{1,15})?(?:,\d{1,15}(?:-\d{1,15})?)*$/.test(text))
    return null
  return text.split(',').map((range) => {
    const [from = '', to = from] = range.split('-')
    return { from: Number(from), to: Number(to) }
  })
}
