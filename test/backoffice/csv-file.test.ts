import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mapColumns, parseColumnNames, userColumns } from '../../src/backoffice/csv-columns.ts'
import { type CsvRow, openCsv } from '../../src/backoffice/csv-file.ts'
import { csvLine } from '../../src/cli/csv-lines.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetwarden-csv-'))
})
afterAll(() => rm(folder, { recursive: true }))

let written = 0
async function file(content: string | Buffer): Promise<string> {
  const path = join(folder, `${++written}.csv`)
  await writeFile(path, content)
  return path
}

const never = new AbortController().signal

async function read(path: string) {
  const csv = await openCsv(path)
  const rows: CsvRow[] = []
  for await (const some of csv.rows(never)) rows.push(...some)
  return { ...csv, all: rows }
}

const cells = async (content: string | Buffer) =>
  (await read(await file(content))).all.map(({ cells }) => cells)
const problem = (path: string) =>
  read(path).then(
    () => 'none',
    (error: Error) => error.message.replaceAll(folder, ''),
  )

describe('a CSV file', () => {
  it.each([
    ['commas', 'id,name\n1,Ann\n2,Bob\n'],
    ['semicolons', 'id;name\n1;Ann\n2;Bob\n'],
    ['tabs', 'id\tname\n1\tAnn\n2\tBob\n'],
    ['CRLF', 'id;name\r\n1;Ann\r\n2;Bob\r\n'],
    ['old line ends', 'id;name\r1;Ann\r2;Bob'],
    ['mixed line ends', 'id;name\r\n1;Ann\n2;Bob\r\n'],
    ['a BOM', '\ufeffid;name\n1;Ann\n2;Bob'],
    ['a BOM and a quoted header', '\ufeff"id";"name"\r\n1;Ann\r\n2;Bob'],
    ['what tells a spreadsheet the delimiter', 'sep=;\r\nid;name\r\n1;Ann\r\n2;Bob'],
    ['empty lines', 'id;name\n\n1;Ann\n;\n2;Bob\n\n'],
    ['a delimiter at the end of each line', 'id;name\n1;Ann;\n2;Bob;\n'],
    ['white space', ' id ; name \n 1 ; Ann \n 2 ;\tBob\n'],
  ])('with %s is read', async (_, content) => {
    const { header, all } = await read(await file(content))
    expect(header).toEqual(['id', 'name'])
    expect(all.map(({ cells }) => cells)).toEqual([
      ['1', 'Ann'],
      ['2', 'Bob'],
    ])
  })

  it('keeps what is quoted together: delimiters, quotes, line breaks', async () => {
    expect(await cells('id;"a;b"\r\n1;"x;""y"""\r\n2;"two\r\nlines"')).toEqual([
      ['1', 'x;"y"'],
      ['2', 'two\r\nlines'],
    ])
  })

  it.each([
    ['UTF-8', 'utf8', 'utf-8'],
    ['Latin-1', 'latin1', 'windows-1252'],
    ['UTF-16', 'utf16le', 'utf-16le'],
  ] as const)('in %s has its umlauts', async (_, encoding, found) => {
    const text = `${encoding === 'utf16le' ? '\ufeff' : ''}Kundennummer;Straße\n1;Grüße aus Köln\n`
    const { all, header, encoding: told } = await read(await file(Buffer.from(text, encoding)))
    expect(told).toBe(found)
    expect(header[1]).toBe('Straße')
    expect(all[0]?.cells).toEqual(['1', 'Grüße aus Köln'])
  })

  it('in Windows-1252 has the characters that Latin-1 lacks, also when the first umlaut comes late', async () => {
    const start = Buffer.from(`id;name\n${'1;plain\n'.repeat(50_000)}`)
    const end = Buffer.concat([Buffer.from('2;'), Buffer.from([0x80, 0x20, 0x8a, 0xfc, 0x0a])])
    const { all, encoding } = await read(await file(Buffer.concat([start, end])))
    expect(encoding).toBe('windows-1252')
    expect(all).toHaveLength(50_001)
    expect(all.at(-1)?.cells).toEqual(['2', '€ Šü'])
  })

  it('says for each row in which line it ends', async () => {
    const { all } = await read(await file('sep=,\nid,name\n1,"a\nb"\n\n2,c\n'))
    expect(all.map(({ line }) => line)).toEqual([4, 6])
  })

  it.each([
    ['nothing', '', ':1:1: the file is empty: expected a first line with the names of the columns'],
    ['a short row', 'id;name\n1;Ann\n2\n', ':3:1: expected 2 columns as in the header, found 1'],
    ['a long row', 'id;name\n1;Ann;x\n', ':2:1: expected 2 columns as in the header, found 3'],
    [
      'an open quote',
      'id;name\n0;x\n1;"Ann\n2;Bob\n',
      ':3:1: a quote (") is opened here or below and never closed',
    ],
    [
      'a stray quote',
      'id;name\n1;An"n\n',
      ':2:1: a quote (") inside a value that does not begin with one: expected the value in quotes, this one twice ("")',
    ],
    [
      'a badly closed one',
      'id;name\n1;"An"n\n',
      ':2:1: a quote (") inside a quoted value: expected it twice ("")',
    ],
    ['something else', 'PK\u0003\u0004\u0000\u0000', ':1:1: is no text: export it as CSV (UTF-8)'],
  ])('with %s is refused', async (_, content, message) =>
    expect(await problem(await file(content))).toBe(`/${written}.csv${message}`),
  )

  it('says which rows are wrong, the first twenty at once', async () => {
    const message = await problem(await file(`id;name\n${'1\n'.repeat(30)}`))
    expect(message.split('\n')).toHaveLength(20)
  })

  it('has to be there and to be a file', async () => {
    expect(await problem(join(folder, 'nowhere.csv'))).toContain('nowhere.csv:1:1: there is no such file')
    expect(await problem(folder)).toContain('is no regular file')
  })

  it('does not take the rest of the file for one value', async () => {
    const path = await file(`id;name\n1;"${'x'.repeat(1_500_000)}\n2;y\n${'3;z\n'.repeat(500_000)}`)
    expect(await problem(path)).toContain('csv:2:1: a quote (")')
  })

  it('of two million lines is read in bounded memory', { timeout: 60_000 }, async () => {
    const path = join(folder, 'large.csv')
    const handle = await open(path, 'w')
    for (let block = 0; block < 200; block++) {
      let text = block === 0 ? 'Kundennummer;E-Mail;Nachname\r\n' : ''
      for (let n = 0; n < 10_000; n++) {
        text += `C-${block * 10_000 + n};someone.${n}@example.com;"Müller; geb. Maier"\r\n`
      }
      await handle.write(text)
    }
    await handle.close()
    const csv = await openCsv(path)
    let count = 0
    let most = 0
    const before = process.memoryUsage().rss
    for await (const rows of csv.rows(never)) {
      count += rows.length
      most = Math.max(most, process.memoryUsage().rss - before)
    }
    expect(count).toBe(2_000_000)
    // The file has 110 MB; what is read of it at a time, and what the collector leaves lying about.
    expect(most).toBeLessThan(200 * 1024 * 1024)
  })

  it('comes back as it was written, whatever the cells', async () => {
    const text = fc
      .string({ unit: 'grapheme', maxLength: 12 })
      .map((value) => value.replace(/[\p{Cc}\ufeff]/gu, '').trim())
    const cell = fc.oneof(text, fc.constantFrom('=1+1', '-5', "'=x", "''@a", '+43 1', "'", 'a,b;c"d'))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 5 }), async (rows) => {
        const lines = rows.map((row) => csvLine(['x', ...row]))
        for (const each of rows.flat()) expect(csvLine([each])).not.toMatch(/^"?[=+\-@]/)
        const back = await cells(`${['k,a,b', ...lines].join('\n')}\n`)
        expect(back).toEqual(rows.map((row) => ['x', ...row.map((each) => each.trim())]))
      }),
      { numRuns: 60 },
    )
  })
})

describe('the columns of a file', () => {
  const map = (header: readonly string[], given: ReadonlyMap<keyof typeof userColumns, string> = new Map()) =>
    Object.fromEntries(
      mapColumns(
        { file: 'c.csv', line: 1, header },
        { names: userColumns, required: ['external_user_id', 'email'], given },
      ),
    )

  it('are known by their names, English or German, however they are spelt', () => {
    expect(map(['KUNDEN-NR.', 'E-Mail Adresse', 'Straße', 'Haus Nr', 'Plz', 'Ort', 'Bemerkung'])).toEqual({
      external_user_id: 0,
      email: 1,
      street_and_number: 2,
      house_number: 3,
      zip_code: 4,
      town: 5,
    })
    expect(map(['external_user_id', 'email', 'first_name'])).toEqual({
      external_user_id: 0,
      email: 1,
      first_name: 2,
    })
  })

  it('are what somebody says', () => {
    const given = parseColumnNames('external_id=Nummer, email="Mail, privat"', userColumns)
    expect(map(['Mail, privat', 'Nummer', 'Kundennummer'], given as never)).toEqual({
      external_user_id: 1,
      email: 0,
    })
  })

  it('are all named that are missing, with what there is and the way out', () => {
    expect(() => map(['Nr', 'Vorname'])).toThrow(
      'c.csv:1:1: no column for external_user_id: expected "external_user_id", "external id", "customer id", "customer number" or the like; there are: "Nr", "Vorname"; say which one it is with --columns external_user_id=NAME\n' +
        'c.csv:1:1: no column for email: ',
    )
    expect(() => map(['Kundennummer', 'Mail', 'E-Mail'])).toThrow(
      'c.csv:1:3: "Mail" and "E-Mail" both look like email',
    )
    expect(() => map(['Kundennummer', 'Mail'], new Map([['email', 'Post']]))).toThrow(
      'no column is called "Post"; there are: "Kundennummer", "Mail"',
    )
  })

  it('are refused where they are no names', () => {
    expect(parseColumnNames('nickname=Nick', userColumns)).toEqual({
      problem: expect.stringMatching(/^"nickname" is none of external_user_id, email, /),
    })
    expect(parseColumnNames('Kundennummer', userColumns)).toEqual({
      problem: 'expected NAME=COLUMN,NAME=COLUMN',
    })
  })
})
