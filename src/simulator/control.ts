// The simulator's own little surface, for scripts and for benchmarks that run it as another process:
//
//   GET    /_simulator/                 seed, users, organization, requests counted so far
//   GET    /_simulator/faults           the active faults
//   POST   /_simulator/faults           a fault as in faults.ts (`path` as text) → {number}
//   DELETE /_simulator/faults[/NUMBER]  one, or all
//   POST   /_simulator/devices/break    {device_id, kind}
//   POST   /_simulator/devices/heal     {device_id, kind?} → {healed}
//   POST   /_simulator/devices/delete   {device_id}
//   POST   /_simulator/users/delete     {user_id}
//
// It asks for no credentials: the simulator holds nothing worth guarding and listens on loopback.

import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { type Answer, failure, json } from './answer.ts'
import { type ActiveFault, FaultError, type Faults } from './faults.ts'
import { breakageKinds, type Fleet } from './fleet.ts'

export const controlPath = '/_simulator/'

const BreakRequest = z.strictObject({ device_id: z.string(), kind: z.enum(breakageKinds) })
const HealRequest = z.strictObject({ device_id: z.string(), kind: z.enum(breakageKinds).optional() })
const DeleteDeviceRequest = z.strictObject({ device_id: z.string() })
const DeleteUserRequest = z.strictObject({ user_id: z.string() })

/** Answers requests under `controlPath`. What is wrong with a request is said with status 400. */
export function createControl({
  fleet,
  faults,
  clock,
  counts,
}: {
  fleet: Fleet
  faults: Faults
  clock: Clock
  counts: () => unknown
}): (request: { method: string; path: string; body: string }) => Answer {
  function answer({ method, path, body }: { method: string; path: string; body: string }): Answer {
    const [subject = '', detail = '', ...more] = path.slice(controlPath.length).split('/')
    const call = `${method} ${[subject, detail, ...more].filter((part) => part !== '').join('/')}`
    switch (call) {
      case 'GET ':
        return json({
          seed: fleet.seed,
          users: fleet.userCount,
          organization_id: fleet.organizationId,
          requests: counts(),
        })
      case 'GET faults':
        return json(faults.list().map(shown))
      case 'POST faults': {
        // Whatever it is, `add` says what is wrong with it.
        const fault = faults.add(JSON.parse(body))
        return json({ number: fault.number }, 201)
      }
      case 'DELETE faults':
        faults.clear()
        return json({})
      case 'POST devices/break': {
        const { device_id, kind } = BreakRequest.parse(JSON.parse(body))
        fleet.breakDevice(device(device_id), kind, clock.now())
        return json({})
      }
      case 'POST devices/heal': {
        const { device_id, kind } = HealRequest.parse(JSON.parse(body))
        return json({ healed: fleet.heal(device(device_id), kind) })
      }
      case 'POST devices/delete': {
        const { device_id } = DeleteDeviceRequest.parse(JSON.parse(body))
        fleet.setDeviceDeleted(device(device_id), clock.now())
        return json({})
      }
      case 'POST users/delete': {
        const { user_id } = DeleteUserRequest.parse(JSON.parse(body))
        const index = fleet.userIndex(user_id)
        if (index === null) throw new RangeError(`no user has the id "${user_id}"`)
        fleet.deleteUser(index, clock.now())
        return json({})
      }
      default: {
        if (method === 'DELETE' && subject === 'faults' && /^\d+$/.test(detail) && more.length === 0) {
          return faults.off(Number(detail))
            ? json({})
            : failure(404, `no active fault has the number ${detail}`)
        }
        return failure(404, `nothing here answers "${call}"`)
      }
    }
  }

  function device(id: string) {
    const found = fleet.device(id)
    if (found === null) throw new RangeError(`no device has the id "${id}"`)
    return found
  }

  return (request) => {
    try {
      return answer(request)
    } catch (error) {
      if (error instanceof z.ZodError) return failure(400, z.prettifyError(error))
      const isOfRequest =
        error instanceof FaultError || error instanceof RangeError || error instanceof SyntaxError
      if (isOfRequest) return failure(400, error.message)
      throw error
    }
  }
}

function shown({ number, fault, hits }: ActiveFault): unknown {
  return { number, hits, ...fault, ...('path' in fault ? { path: fault.path?.source } : {}) }
}
