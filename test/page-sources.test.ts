import { expect, it } from 'vitest'
import { parametersOf } from '../src/http/alert-query.ts'
import { parseListQuery } from '../src/http/page/alerts-page.ts'
import { parseMatchers } from '../src/matcher.ts'
import { morePageUrl } from '../src/page-sources.ts'

it('leads from "and N more" to what the group of the message has in common', () => {
  const groupLabels = { alertname: 'A & B', manufacturer: 'Daikin', price_zone: 'AT "east"', team: '' }
  const url = morePageUrl('https://fleet.example.com/watch', { groupLabels }) ?? ''
  expect(url).toMatch(/^https:\/\/fleet\.example\.com\/watch\/\?/)
  const query = parseListQuery(parametersOf(url))
  expect(query).toMatchObject({ rule: 'A & B', manufacturer: 'Daikin', severity: '', tab: 'open' })
  expect(parseMatchers(query.filter).map(({ name, operator, value }) => [name, operator, value])).toEqual([
    ['price_zone', '=', 'AT "east"'],
    ['team', '=', ''],
  ])
})

it('leads to the first page for a group of everything, and nowhere without a public address', () => {
  expect(morePageUrl('https://fleet.example.com/', { groupLabels: {} })).toBe('https://fleet.example.com/')
  expect(morePageUrl('https://fleet.example.com', { groupLabels: {} })).toBe('https://fleet.example.com/')
  expect(morePageUrl(null, { groupLabels: {} })).toBeNull()
})
