// Writes the dashboards as the JSON that Grafana reads: npm run dashboards. With --check it writes
// nothing and says whether what is there is up to date.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, relative } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { dashboardFiles } from './source/files.ts'

const isCheck = process.argv.includes('--check')
for (const { path, text } of dashboardFiles()) {
  const file = fileURLToPath(new URL(path, import.meta.url))
  const shown = relative(process.cwd(), file)
  const before = await readFile(file, 'utf8').catch(() => null)
  if (before === text) continue
  if (isCheck) {
    console.error(`${shown} is not what its source makes of it: run npm run dashboards`)
    process.exitCode = 1
  } else {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
    console.log(`wrote ${shown}`)
  }
}
