import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Worker processes, not threads: tests open databases and real servers.
    pool: 'forks',
    // Most of the time is waiting for sockets and child processes; by itself vitest leaves one core idle.
    maxWorkers: 2,
    testTimeout: 20_000,
    allowOnly: process.env['CI'] === undefined,
  },
})
