// Which language an owner reads and which clock hangs on their wall, as far as their country says it.

import type { OwnerConfig, OwnerLanguage } from '../config.ts'
import type { User } from '../fleet/user.ts'

export interface OwnerPlace {
  readonly language: OwnerLanguage
  /** For dates: the language as it is written there, such as de-AT. */
  readonly locale: string
  readonly timeZone: string
}

// ISO 3166. Countries with one clock (of Germany's two zones, both show the same time). Spain, Portugal and
// others with islands hours away are left out: there the configured zone is as good a guess.
const zones: Readonly<Record<string, string>> = {
  AT: 'Europe/Vienna',
  BE: 'Europe/Brussels',
  BG: 'Europe/Sofia',
  CH: 'Europe/Zurich',
  CY: 'Asia/Nicosia',
  CZ: 'Europe/Prague',
  DE: 'Europe/Berlin',
  DK: 'Europe/Copenhagen',
  EE: 'Europe/Tallinn',
  FI: 'Europe/Helsinki',
  FR: 'Europe/Paris',
  GB: 'Europe/London',
  GR: 'Europe/Athens',
  HR: 'Europe/Zagreb',
  HU: 'Europe/Budapest',
  IE: 'Europe/Dublin',
  IS: 'Atlantic/Reykjavik',
  IT: 'Europe/Rome',
  LI: 'Europe/Vaduz',
  LT: 'Europe/Vilnius',
  LU: 'Europe/Luxembourg',
  LV: 'Europe/Riga',
  MT: 'Europe/Malta',
  NL: 'Europe/Amsterdam',
  NO: 'Europe/Oslo',
  PL: 'Europe/Warsaw',
  RO: 'Europe/Bucharest',
  SE: 'Europe/Stockholm',
  SI: 'Europe/Ljubljana',
  SK: 'Europe/Bratislava',
}
const germanSpeaking = ['AT', 'CH', 'DE', 'LI', 'LU']

export function ownerPlace(
  { country }: Pick<User, 'country'>,
  fallback: Pick<OwnerConfig, 'language' | 'timeZone'>,
): OwnerPlace {
  const code = country?.trim().toUpperCase() ?? ''
  const isCountry = /^[A-Z]{2}$/.test(code)
  const language = !isCountry ? fallback.language : germanSpeaking.includes(code) ? 'de' : 'en'
  // English dates with the day first, wherever it is not said otherwise.
  const locale = language === 'de' ? (isCountry ? `de-${code}` : 'de') : 'en-GB'
  return { language, locale, timeZone: zones[code] ?? fallback.timeZone }
}
