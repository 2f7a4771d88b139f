// A proxy in front of a server that cuts connections at chosen moments, or goes silent.

import { once } from 'node:events'
import { connect as connectTo, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Cuts the connection on which the client says this: before the server hears of it. */
  cutBefore(text: string): void
  /** … after the server has answered, and before the client hears that. */
  cutAfter(text: string): void
  /** Passes nothing on any more, and does not say so; connections stay open. */
  freeze(): void
  /** Lets new connections through again; those that were frozen stay so. */
  thaw(): void
  /** Ends all connections now. */
  cutAll(): void
  close(): Promise<void>
}

export async function startProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let cut: { readonly text: string; readonly when: 'before' | 'after' } | null = null
  let frozen = false

  const server = createServer((client) => {
    const upstream = connectTo(targetPort, '127.0.0.1')
    const isFrozen = { always: frozen }
    let isDoomed = false
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', end).on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    client.on('data', (chunk) => {
      isFrozen.always ||= frozen
      if (isFrozen.always) return
      if (cut !== null && chunk.includes(cut.text)) {
        const { when } = cut
        cut = null
        if (when === 'before') return end()
        isDoomed = true
      }
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      isFrozen.always ||= frozen
      if (isFrozen.always) return
      if (isDoomed) end()
      else client.write(chunk)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: address.port,
    cutBefore: (text) => {
      cut = { text, when: 'before' }
    },
    cutAfter: (text) => {
      cut = { text, when: 'after' }
    },
    freeze: () => {
      frozen = true
    },
    thaw: () => {
      frozen = false
    },
    cutAll,
    async close() {
      const closed = once(server, 'close')
      server.close()
      cutAll()
      await closed
    },
  }
}
