// One request with the headers as they are given: fetch lets nobody set those that matter for access.

import { type OutgoingHttpHeaders, request } from 'node:http'

export interface Answer {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface Asked {
  readonly method?: string
  /** An array sends the header more than once. */
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
  /** The address of ours that it comes from. */
  readonly from?: string
}

export function ask(url: string, path: string, { method = 'GET', headers = {}, body, from }: Asked = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const asking = request(
      {
        ...{ hostname: hostname.replace(/^\[|\]$/g, ''), port, path, method, headers },
        ...(from === undefined ? {} : { localAddress: from }),
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (piece: string) => {
          text += piece
        })
        response.on('error', reject)
        response.on('end', () =>
          resolve({ status: response.statusCode, headers: response.headers, body: text }),
        )
      },
    )
    asking.on('error', reject)
    asking.end(body)
  })
}
