// The table of links that went out in messages.

import type { LinkRecord, LinkStore } from '../links/link-store.ts'
import type { Logger } from '../logger.ts'
import type { Database } from './database.ts'
import { loadAll, readOrSkip } from './loading.ts'
import { type Cell, number, numberOrNull, positions, type Row, type Table, text, textOrNull } from './rows.ts'

const linkColumns = [
  'episode',
  'fingerprint',
  'alertname',
  'user_id',
  'device_type',
  'device_id',
  'manufacturer',
  'since',
  'given_at',
  'expires_at',
  'resolved_at',
  'resolved_reason',
  'started_at',
  'returned_at',
  'cancelled_at',
  'checked_at',
  'still_wrong',
  'verified_after_ms',
  'revoked_at',
] as const

export const linkTable: Table = { name: 'link', columns: linkColumns, keys: ['episode'] }
const linkAt = positions(linkColumns)

export function createLinkStore({ read, write }: Database, logger: Logger | undefined): LinkStore {
  return {
    loadLinks: () =>
      read('load links', (tables) =>
        loadAll(tables, linkTable, (row) =>
          readOrSkip(row, readLink, (error) =>
            logger?.error(
              { error, episode: row[linkAt.episode] },
              'A stored link could not be read: it leads nowhere',
            ),
          ),
        ),
      ),

    saveLinks: ({ upserts, deletedEpisodes }) =>
      write('save links', async (tables) => {
        await tables.remove(
          linkTable,
          deletedEpisodes.map((episode) => [episode]),
        )
        await tables.upsert(linkTable, upserts.map(linkValues))
      }),
  }
}

/** In the order of linkColumns. */
function linkValues(link: LinkRecord): Cell[] {
  return [
    link.episode,
    link.fingerprint,
    link.alertname,
    link.userId,
    link.deviceType,
    link.deviceId,
    link.manufacturer,
    link.since,
    link.givenAt,
    link.expiresAt,
    link.resolvedAt,
    link.resolvedReason,
    link.startedAt,
    link.returnedAt,
    link.cancelledAt,
    link.checkedAt,
    link.stillWrong,
    link.verifiedAfterMs,
    link.revokedAt,
  ]
}

function readLink(row: Row): LinkRecord {
  return {
    episode: text(row, linkAt.episode),
    fingerprint: text(row, linkAt.fingerprint),
    alertname: text(row, linkAt.alertname),
    userId: text(row, linkAt.user_id),
    deviceType: text(row, linkAt.device_type) as LinkRecord['deviceType'],
    deviceId: text(row, linkAt.device_id),
    manufacturer: text(row, linkAt.manufacturer),
    since: number(row, linkAt.since),
    givenAt: number(row, linkAt.given_at),
    expiresAt: number(row, linkAt.expires_at),
    resolvedAt: numberOrNull(row, linkAt.resolved_at),
    resolvedReason: textOrNull(row, linkAt.resolved_reason) as LinkRecord['resolvedReason'],
    startedAt: numberOrNull(row, linkAt.started_at),
    returnedAt: numberOrNull(row, linkAt.returned_at),
    cancelledAt: numberOrNull(row, linkAt.cancelled_at),
    checkedAt: numberOrNull(row, linkAt.checked_at),
    stillWrong: textOrNull(row, linkAt.still_wrong) as LinkRecord['stillWrong'],
    verifiedAfterMs: numberOrNull(row, linkAt.verified_after_ms),
    revokedAt: numberOrNull(row, linkAt.revoked_at),
  }
}
