import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { createIntegrationSet } from '../../../src/notify/receivers/registry.ts'
import { sampleContext, sampleNotification } from '../sample.ts'
import { webhookConfig } from './peers.ts'
import { type ScriptedHttp, startScriptedHttp } from './scripted-http.ts'

describe('integrations of a process that another one may have taken over from', () => {
  let server: ScriptedHttp
  let mayISend: boolean
  beforeEach(async () => {
    server = await startScriptedHttp()
    mayISend = true
  })
  afterEach(() => server.close())

  function integration() {
    const deps = {
      clock: systemClock,
      moreUrl: () => null,
      publicUrl: null,
      onLayoutRefused() {},
      onTemplateFailure() {},
    }
    const receiver = { name: 'r', slack: [], email: [], pagerduty: [], alertmanager: [], owner: [] }
    const webhook = [webhookConfig(`${server.origin}/hook`)]
    const set = createIntegrationSet(deps, { maySend: () => mayISend })
    return set.update([{ ...receiver, webhook }])[0]!
  }

  it('send while it is sure that it leads', async () => {
    expect(await integration().send(sampleNotification(), sampleContext())).toEqual({ kind: 'ok' })
    expect(server.requests).toHaveLength(1)
  })

  it('send nothing when it is not', async () => {
    mayISend = false
    expect(await integration().send(sampleNotification(), sampleContext())).toEqual({
      kind: 'retry',
      reason: 'another process may have taken over',
    })
    expect(server.requests).toEqual([])
  })

  it('send nothing when it has ceased to be while links were asked for', async () => {
    const context = {
      ...sampleContext(),
      linkFor: async () => {
        mayISend = false
        return null
      },
    }
    expect(await integration().send(sampleNotification(), context)).toMatchObject({ kind: 'retry' })
    expect(server.requests).toEqual([])
  })

  it('send nothing when it was stopped for so long that the links were given up', async () => {
    const stop = new AbortController()
    const context = {
      ...sampleContext(),
      signal: stop.signal,
      linkFor: () => {
        mayISend = false
        stop.abort()
        return new Promise<never>(() => {})
      },
    }
    expect(await integration().send(sampleNotification(), context)).toMatchObject({ kind: 'retry' })
    expect(server.requests).toEqual([])
  })
})
