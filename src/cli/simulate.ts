// `fleetwarden simulate`: the simulated partner API alone, for whoever writes a client or rules.

import type { Clock } from '../clock.ts'
import type { Shapes } from '../simulator/fleet.ts'
import { createLife, type LifeEvent } from '../simulator/life.ts'
import { startSimulator } from '../simulator/server.ts'

export interface SimulateOptions {
  readonly users: number
  readonly port: number
  /** Default 127.0.0.1; a container needs 0.0.0.0. */
  readonly host?: string
  readonly seed: number
  readonly latencyMs: number
  readonly requestsPerSecond: number | null
  readonly shapes: Shapes
  /** Nothing is broken and nothing breaks. */
  readonly healthy: boolean
  readonly clientId: string
  readonly clientSecret: string
}

const minuteMs = 60_000

/**
 * Runs the simulator until the signal aborts, and prints how to use it. Unless the fleet is to be
 * healthy, devices break and heal by themselves, and each such event is printed. Rejects when it cannot
 * listen (SimulatorAddressError) or the options make no fleet (RangeError).
 */
export async function simulate(
  options: SimulateOptions,
  { clock, signal, print }: { clock: Clock; signal: AbortSignal; print: (line: string) => void },
): Promise<void> {
  const { users, port, host, seed, latencyMs, requestsPerSecond, shapes, healthy } = options
  const simulator = await startSimulator({
    clock,
    fleet: { users, seed, shapes, healthy },
    port,
    latencyMs,
    requestsPerSecond,
    clientId: options.clientId,
    clientSecret: options.clientSecret,
    ...(host === undefined ? {} : { host }),
  })
  try {
    print(`Simulated partner API with ${users} users (seed ${seed}):`)
    print('')
    print('  partner:')
    print(`    base_url: ${simulator.url}`)
    print(`    org_id: ${simulator.organizationId}`)
    // Made up for this process, and of no use anywhere else: this is how one learns them.
    print(`    client_id: ${options.clientId}`)
    print(`    client_secret: ${options.clientSecret}`)
    print('')
    print('Links in its answers open in a browser. Faults are switched over HTTP, for example:')
    print(
      `  curl -X POST ${simulator.origin}/_simulator/faults -d '{"kind": "status", "status": 503, "share": 0.2}'`,
    )
    print(`  curl -X DELETE ${simulator.origin}/_simulator/faults`)
    print('')
    if (healthy) {
      await untilAborted(signal)
      return
    }
    const life = createLife({
      fleet: simulator.fleet,
      clock,
      seed,
      meanBreakIntervalMs: 2 * minuteMs,
      meanRepairMs: 30 * minuteMs,
      meanOutageIntervalMs: 240 * minuteMs,
      meanOutageMs: 20 * minuteMs,
      onEvent: (event) => print(described(event)),
    })
    await life.run(signal)
  } finally {
    await simulator.close()
  }
}

function described(event: LifeEvent): string {
  const at = new Date(event.at).toISOString()
  switch (event.what) {
    case 'broke':
    case 'healed': {
      const { device, kind } = event
      return `${at} ${event.what}: ${kind}, ${device.type} ${device.id} (${device.manufacturer.name})`
    }
    case 'outage_started':
    case 'outage_ended':
      return `${at} ${event.what.replace('_', ' ')}: ${event.manufacturer}`
    default:
      return event satisfies never
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
