// When two spellings mean the same: `MÜLLER ` and `Mueller`, `Hauptstr. 12 a` and `Hauptstraße 12a`.
//
// A difference that is none costs a needless change; one that is not seen keeps a customer's record wrong.
// So only what is certain is folded: case, white space, accents, the German ways to write umlauts and ß, and
// the abbreviations of street types that carry a full stop or stand at a word's end. `Muller` and `Müller` stay
// different, and so do `12/14` and `12-14`: a door and a range.

import type { UserField } from './user-input.ts'

/** Letters and digits of any script, lower case, umlauts written out, single spaces. */
export function folded(text: string): string {
  return latin(text)
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()
}

/** Two values of this field mean the same if and only if these are the same text; empty: there is none. */
export function comparable(field: UserField, value: string | number | null | undefined): string {
  if (value === null || value === undefined || value === '') return ''
  const text = String(value)
  switch (field) {
    case 'email':
      // The part before the @ may in theory mind case; no provider of customers' mailboxes does.
      return text.trim().normalize('NFC').toLowerCase()
    case 'street_and_number':
    case 'street_add_info':
      return street(text)
    case 'zip_code':
      return postcode(text)
    case 'town':
      return folded(latin(text).replace(/\bst\.\s*/g, 'sankt '))
    case 'first_name':
    case 'last_name':
      return folded(text)
    case 'country':
    case 'role':
      return text.trim().toUpperCase()
    case 'external_user_id':
      // An id is not a word: it is the same or another one.
      return text.trim()
    case 'latitude':
    case 'longitude':
      // Five decimals are a metre.
      return Number.isFinite(Number(text)) ? Number(text).toFixed(5) : text
    default:
      return field satisfies never
  }
}

function latin(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[äöüßæøœłđ]/g, (letter) => writtenOut[letter] ?? letter)
    .normalize('NFD')
    .replace(/\p{M}+/gu, '')
    .replace(/\s+/g, ' ')
    .trim()
}

const writtenOut: Readonly<Record<string, string>> = {
  ä: 'ae',
  ö: 'oe',
  ü: 'ue',
  ß: 'ss',
  æ: 'ae',
  ø: 'oe',
  œ: 'oe',
  ł: 'l',
  đ: 'd',
}

function street(text: string): string {
  return (
    latin(text)
      .replace(/(?:strasse|str\.?)(?=[\s\d]|$)/g, 'str ')
      .replace(/pl\.(?=[\s\d]|$)/g, 'platz ')
      .replace(/(?<=\p{L})g\.(?=[\s\d]|$)/gu, 'gasse ')
      // Between two numbers what parts them counts, elsewhere (12 a, 12a) it does not.
      .replace(/[^\p{L}\p{N}]+/gu, (between, at: number, whole: string) => {
        const isBetweenNumbers = /\d/.test(whole[at - 1] ?? '') && /\d/.test(whole[at + between.length] ?? '')
        return isBetweenNumbers ? (between.includes('-') ? '-' : '/') : ''
      })
  )
}

/** `A-1010` is 1010, and 1067 is what is left of 01067 where somebody took it for a number. */
function postcode(text: string): string {
  const plain = text.toUpperCase().replace(/[\s.]+/g, '')
  const digits = /^(?:[A-Z]{1,2}-)?0*(\d+)$/.exec(plain)?.[1]
  return digits ?? plain
}
