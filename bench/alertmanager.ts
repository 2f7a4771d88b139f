// The real Alertmanager: Debian's package prometheus-alertmanager.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PeerProcess, startPeer } from './peer-process.ts'

/** `text`: its configuration. Null: it is not installed. */
export async function startAlertmanager(text: string, folder: string): Promise<PeerProcess | null> {
  const file = join(folder, 'alertmanager.yml')
  await writeFile(file, text)
  return startPeer({
    executable: 'prometheus-alertmanager',
    argumentsAt: (address) => [
      `--config.file=${file}`,
      `--storage.path=${join(folder, 'alertmanager')}`,
      `--web.listen-address=${address}`,
      '--cluster.listen-address=',
      '--log.level=error',
    ],
  })
}
