// `owner_configs`, a receiver of ours: mail to whom a device belongs, in their language and at a time of
// day that suits them. What is done with it is in owners/.

import { z } from 'zod'
import { duration, mailbox, type NamedFiles, publicBaseUrl, text, timeZone } from './fields.ts'
import { type OwnerConfig, ownerLanguages, type SmtpConfig } from './receiver-config.ts'
import { smtpKeys } from './smtp-schema.ts'
import { timeOfDay } from './time-interval-schema.ts'
import { has, mapping, mappings, type Report } from './unchecked.ts'

const shortLine = (expected: string) =>
  text({
    expected,
    holds: (value) => /^[^\p{Cc}]*[^\p{Cc}\s][^\p{Cc}]*$/u.test(value) && value.length <= 100,
  })

const quietHours = z
  .strictObject({
    start: timeOfDay.describe('From this minute on, such as 20:00.'),
    end: timeOfDay.describe('Before this minute, such as 08:00.'),
  })
  .refine(({ start, end }) => start % 1440 !== end % 1440, {
    params: { expected: 'start and end at different times (or `quiet_hours: false`)' },
  })

const company = z.strictObject({
  name: shortLine('the name of a company, at most 100 characters').describe('Who writes.'),
  support_email: text({
    expected: 'a mail address such as service@example.com',
    holds: (value) => mailbox.holds(value) && !value.includes('<'),
  })
    .optional()
    .describe('Whom to ask, by mail.'),
  support_phone: text({
    expected: 'a telephone number such as +43 1 234567',
    holds: (value) => /^\+?[\d ()/-]{3,40}$/.test(value),
  })
    .optional()
    .describe('Whom to ask, by telephone.'),
  support_url: text(publicBaseUrl).optional().describe('Where help is to be found.'),
})

export function ownerSchema(files: NamedFiles) {
  return z.strictObject({
    ...smtpKeys(files),
    every: duration({ minimumMs: 3_600_000 })
      .prefault('7d')
      .describe('An owner gets one mail at most in this time.'),
    after: duration({ minimumMs: 0 }).prefault('1h').describe('The alert has to have been firing so long.'),
    escalate_after: duration({ minimumMs: 3_600_000 })
      .prefault('3d')
      .describe('Staff is told when the device is still not well after this time.'),
    quiet_hours: z
      .union([z.literal(false), quietHours])
      .prefault({ start: '20:00', end: '08:00' })
      .describe("No mail in these hours on the owner's clock; false: at any hour."),
    language: z
      .enum(ownerLanguages)
      .default('en')
      .describe("Of owners whose country is not known. Otherwise their country's: de or en."),
    time_zone: timeZone({ example: 'Europe/Vienna' })
      .prefault('UTC')
      .describe('Of owners whose country is not known, or has several zones.'),
    company: company.describe('Who writes to the owner, and whom they can ask.'),
  })
}

/** What an owner's link is made of has to be there. `value`: the whole configuration, unchecked. */
export function checkOwners(value: unknown, report: Report): void {
  const config = mapping(value)
  const missing = [
    ...(has(mapping(config['links']), 'signing_key') ? [] : ['`links.signing_key`']),
    ...(has(mapping(config['http']), 'public_url') ? [] : ['`http.public_url`']),
  ]
  if (missing.length === 0) return
  for (const [index, receiver] of mappings(mapping(config['alerting'])['receivers'])) {
    for (const [item] of mappings(receiver['owner_configs'])) {
      const path = ['alerting', 'receivers', index, 'owner_configs', item]
      report(path, `the links in mail to owners are ours: for them, ${missing.join(' and ')} must be given`)
    }
  }
}

export function resolveOwner(
  parsed: z.output<ReturnType<typeof ownerSchema>>,
  smtp: SmtpConfig,
): OwnerConfig {
  const { company: by, quiet_hours: quiet } = parsed
  return {
    ...smtp,
    everyMs: parsed.every,
    afterMs: parsed.after,
    escalateAfterMs: parsed.escalate_after,
    quietHours: quiet === false ? null : quiet,
    language: parsed.language,
    timeZone: parsed.time_zone,
    company: {
      name: by.name,
      supportEmail: by.support_email ?? null,
      supportPhone: by.support_phone ?? null,
      supportUrl: by.support_url ?? null,
    },
  }
}
