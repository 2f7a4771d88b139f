import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Worker processes, not threads: tests open databases and real servers.
    pool: 'forks',
    testTimeout: 20_000,
    allowOnly: process.env['CI'] === undefined,
  },
})
