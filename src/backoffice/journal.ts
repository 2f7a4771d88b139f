// What a long run of changes has done, line by line on disk, so that it can be stopped at any moment, or killed,
// and goes on where it was. It holds no personal data: keys that are made from a change, and how it ended.
//
// A run that came to its end says so in a last line; the next one then begins anew, since what was put right
// once may be wrong again. What was begun and has no end may or may not be done, and is done again: each
// change can be repeated.

import { createHash } from 'node:crypto'
import { type FileHandle, open, readFile } from 'node:fs/promises'

export type JournalResult = 'done' | 'failed'

export interface Journal {
  /** How this change ended in the run that is continued; null: it has not. */
  resultOf(key: string): JournalResult | null
  /** True: an earlier run did not come to its end, and this one goes on with it. */
  readonly isContinued: boolean
  begin(key: string): Promise<void>
  end(key: string, result: JournalResult): Promise<void>
  /** The run has come to its end. */
  finish(): Promise<void>
  close(): Promise<void>
}

/** Rejects with the file system's error. The file is for its owner's eyes alone. */
export async function openJournal(file: string): Promise<Journal> {
  const results = new Map<string, JournalResult>()
  let isContinued = false
  for (const line of (await textOf(file)).split('\n')) {
    const entry = parsed(line)
    if (entry === null) continue
    if (entry.state === 'finished') {
      results.clear()
      isContinued = false
      continue
    }
    isContinued = true
    if (entry.state === 'done' || entry.state === 'failed') results.set(entry.key, entry.state)
  }
  const handle = await open(file, isContinued ? 'a' : 'w', 0o600)
  // What a crash has cut off in the middle of a line must not spoil the next one.
  if (isContinued) await handle.appendFile('\n')

  return {
    resultOf: (key) => results.get(key) ?? null,
    isContinued,
    begin: (key) => append(handle, { key, state: 'begun' }),
    async end(key, result) {
      results.set(key, result)
      await append(handle, { key, state: result })
    },
    finish: () => append(handle, { key: '', state: 'finished' }),
    close: () => handle.close(),
  }
}

/** The same change has the same one. */
export function journalKey(change: unknown): string {
  return createHash('sha256').update(JSON.stringify(change)).digest('hex').slice(0, 24)
}

interface JournalLine {
  readonly key: string
  readonly state: 'begun' | JournalResult | 'finished'
}

async function append(handle: FileHandle, line: JournalLine): Promise<void> {
  await handle.appendFile(`${JSON.stringify(line)}\n`)
  await handle.datasync()
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}

function parsed(line: string): JournalLine | null {
  try {
    const value: unknown = JSON.parse(line)
    const isEntry = typeof value === 'object' && value !== null && 'key' in value && 'state' in value
    return isEntry ? (value as JournalLine) : null
  } catch {
    return null
  }
}
