import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allowedUrl } from '../../src/links/allowed-host.ts'

const patterns = ['app.podero.com', '*.makers.example', 'login.example:8443', '127.0.0.1:9000', '[::1]:9000']

describe('where a link may lead', () => {
  it.each([
    'https://app.podero.com/session?state=1#x',
    'https://APP.podero.com/',
    'https://app.podero.com:443/',
    'https://a.makers.example/',
    'https://a.b.makers.example/',
    'https://login.example:8443/',
    'http://127.0.0.1:9000/session',
    'http://[::1]:9000/session',
    'https://127.0.0.1:9000/',
  ])('%s', (url) => {
    expect(allowedUrl(url, patterns)?.href).toBe(new URL(url).href)
  })

  it.each([
    ['another host', 'https://evil.example/'],
    ['the host in the path', 'https://evil.example/app.podero.com'],
    ['the host as the beginning of another', 'https://app.podero.com.evil.example/'],
    ['the host as the end of another', 'https://evilapp.podero.com/'],
    ['the host as a user', 'https://app.podero.com@evil.example/'],
    ['a user before the host', 'https://user@app.podero.com/'],
    ['a user and a password before the host', 'https://user:pass@app.podero.com/'],
    ['an empty user', 'https://@app.podero.com/@evil.example'],
    ['backslashes', 'https:\\\\app.podero.com\\'],
    ['a backslash before a user', 'https://evil.example\\@app.podero.com/'],
    ['a missing slash', 'https:/app.podero.com/'],
    ['no slashes', 'https:app.podero.com/'],
    ['more slashes', 'https:///app.podero.com/'],
    ['no scheme', '//app.podero.com/'],
    ['a path', '/session'],
    ['a space before it', ' https://app.podero.com/'],
    ['a tab in the scheme', 'ht\ttps://app.podero.com/'],
    ['a line break in the host', 'https://app.podero.com\n.evil.example/'],
    ['a NUL', 'https://app.podero.com\0/'],
    ['http', 'http://app.podero.com/'],
    ['javascript', 'javascript:alert(1)//https://app.podero.com/'],
    ['data', 'data:text/html,https://app.podero.com/'],
    ['ftp', 'ftp://app.podero.com/'],
    ['another port', 'https://app.podero.com:8443/'],
    ['the port of http', 'https://app.podero.com:80/'],
    ['the default port where another is named', 'https://login.example/'],
    ['another port of this machine', 'http://127.0.0.1:9001/'],
    ['another address of this machine', 'http://127.0.0.2:9000/'],
    ['the host itself under a star', 'https://makers.example/'],
    ['nothing under a star', 'https://.makers.example/'],
    ['a look-alike', 'https://аpp.podero.com/'],
    ['its name in punycode', 'https://xn--pp-6kc.podero.com/'],
    ['a dot that is none', 'https://app。evil。example/'],
    ['a trailing dot', 'https://app.podero.com./'],
    ['no host', 'https://'],
    ['nothing', ''],
    ['words', 'app.podero.com'],
  ])('nowhere with %s', (_, url) => {
    expect(allowedUrl(url, patterns)).toBeNull()
  })

  it('a full-width spelling is what a browser makes of it', () => {
    // Browsers fold it into the plain name, and so it is sent on as that.
    expect(allowedUrl('https://ａpp.podero.com/', patterns)?.href).toBe('https://app.podero.com/')
  })

  it('takes no text to a host that it does not name', () => {
    const piece = fc.constantFrom(
      ...['https:', 'http:', '/', '//', '\\', '@', ':', '.', '#', '?', '%2f', '%40', '\t', ' ', '[', ']'],
      ...['app.podero.com', 'evil.example', 'makers.example', 'user', '443', '8443', '。', '\u200b'],
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        const url = allowedUrl(`https://${pieces.join('')}`, patterns)
        if (url === null) return
        expect(url.protocol).toBe('https:')
        expect(`${url.username}${url.password}`).toBe('')
        expect(url.host).toMatch(/^(?:app\.podero\.com|.+\.makers\.example|login\.example:8443)$/)
      }),
      { numRuns: 3_000 },
    )
  })
})
