// Writes the dashboards as the JSON that Grafana reads: npm run dashboards. That what is committed is
// up to date is for a test.

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, relative } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { dashboardFiles } from './source/files.ts'

for (const { path, text } of dashboardFiles()) {
  const file = fileURLToPath(new URL(path, import.meta.url))
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
  console.log(`wrote ${relative(process.cwd(), file)}`)
}
