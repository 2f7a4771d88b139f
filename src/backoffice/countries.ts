// The countries of ISO 3166-1, alpha-2, as officially assigned: 249. Intl has names for 31 more that are no
// countries of the standard (EU, UK, XK, those that no longer exist), so the list is written out.

const officiallyAssigned =
  'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ ' +
  'CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO ' +
  'FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE ' +
  'JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO ' +
  'MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW ' +
  'PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM ' +
  'TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW'

export const countryCodes: ReadonlySet<string> = new Set(officiallyAssigned.split(' '))

/** The code that a text stands for: a code in either case, or a name in English or German; null: none. */
export function countryCodeOf(text: string): string | null {
  const plain = text.trim()
  const code = plain.toUpperCase()
  if (countryCodes.has(code)) return code
  codesByName ??= namesOfCountries()
  return codesByName.get(plain.toLowerCase()) ?? null
}

let codesByName: ReadonlyMap<string, string> | null = null

function namesOfCountries(): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const language of ['en', 'de']) {
    const display = new Intl.DisplayNames(language, { type: 'region', fallback: 'none' })
    for (const code of countryCodes) {
      const name = display.of(code)
      if (name !== undefined) names.set(name.toLowerCase(), code)
    }
  }
  return names
}
