import { expect, test } from 'vitest'
import { nearestName } from '../src/nearest-name.ts'

const known = ['receiver', 'receivers', 'group_by', 'group_wait', 'to', 'token']

test.each([
  ['reciever', 'receiver'],
  ['recievers', 'receivers'],
  ['GroupBy', 'group_by'],
  ['group_wiat', 'group_wait'],
  ['t', 'to'],
  ['tokn', 'token'],
])('takes %s for %s', (name, meant) => {
  expect(nearestName(name, known)).toBe(meant)
})

test.each(['foo', 'url', 'schedule', '', 'receiver_of_messages'])('finds nothing near %j', (name) => {
  expect(nearestName(name, known)).toBeUndefined()
})
