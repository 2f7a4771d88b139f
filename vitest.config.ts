import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Worker processes, not threads: tests open databases and real servers.
    pool: 'forks',
    // Much of the time is waiting for sockets and child processes: more of them than the two cores of a small machine.
    maxWorkers: 3,
    testTimeout: 20_000,
    allowOnly: process.env['CI'] === undefined,
  },
})
