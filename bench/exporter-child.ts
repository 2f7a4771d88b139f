// The exporter that somebody would write for Prometheus, in a process of its own: when it is scraped it
// asks the partner about all devices, as Prometheus' guide to writing exporters wants it, and shows a
// gauge for each. Its text is put together by hand, which costs less than a client library's.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { type BareCall, type BareLoopOptions, openBareLoop } from './bare-loop.ts'
import { childOptions } from './harness.ts'

export type ExporterOptions = BareLoopOptions

export interface ExporterReady {
  readonly pid: number
  /** Host and port. */
  readonly address: string
}

interface ListedDevice {
  readonly id: string
  readonly is_authenticated: boolean | null
  readonly device_model: { readonly manufacturer: string } | null
}

const loop = openBareLoop(childOptions<ExporterOptions>())
let collecting: Promise<string> | null = null

/** A scrape that comes while another one waits shares its walk. */
function collect(): Promise<string> {
  collecting ??= collectAnew().finally(() => {
    collecting = null
  })
  return collecting
}

async function collectAnew(): Promise<string> {
  const lines = [
    '# HELP device_authenticated Whether the device is connected to the cloud of its manufacturer.',
    '# TYPE device_authenticated gauge',
  ]
  await loop.walk((call, answer) => {
    for (const device of answer as readonly ListedDevice[]) lines.push(lineOf(call, device))
  })
  return `${lines.join('\n')}\n`
}

function lineOf({ userId, of }: BareCall, { id, is_authenticated, device_model }: ListedDevice): string {
  const manufacturer = (device_model?.manufacturer ?? '').replace(/["\\\n]/g, (each) =>
    each === '\n' ? '\\n' : `\\${each}`,
  )
  const labels = `user_id="${userId}",device_id="${id}",device_type="${of}",manufacturer="${manufacturer}"`
  return `device_authenticated{${labels}} ${is_authenticated === true ? 1 : 0}`
}

const server = createServer((_request, response) => {
  collect().then(
    (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text),
    (error: unknown) => {
      console.error(error)
      response.writeHead(500).end()
    },
  )
})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.send?.({ pid: process.pid, address: `127.0.0.1:${port}` } satisfies ExporterReady)
})
process.on('disconnect', () => process.exit(0))
