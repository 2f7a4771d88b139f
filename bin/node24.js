#!/usr/bin/env node
// Runs the script named by the first argument under a Node that can run TypeScript sources
// and carries node:sqlite: the running one if it is new enough, else the one that `npm ci`
// brought along as an optional dependency. Plain JavaScript, since an old Node reads it first.
// The version of that dependency is what engines.md calls the runtime pin.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'

const minimum = [24, 15]

// Where memory is plenty, V8 lets the young objects of a walk fill 100 MB before it collects them;
// with half of that it takes no longer (docs/benchmarks.md). In MB.
const nodeOptions = ['--max-semi-space-size=16']
// And the old ones grow to four times what was alive before it collects those; here to twice, which
// costs a walk some CPU. No promise of V8's: a Node that doesn't know the option refuses to start.
const optionsOfNode24 = ['--heap-growing-percent=100']

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const isNewEnough = major > minimum[0] || (major === minimum[0] && minor >= minimum[1])
const [script, ...scriptArguments] = process.argv.slice(2)

if (script === undefined) {
  console.error('usage: node bin/node24.js <script> [arguments]')
  process.exitCode = 2
} else {
  const executable = isNewEnough ? process.execPath : bundledNode()
  if (executable === undefined) {
    console.error(
      `Fleetwarden needs Node ${minimum.join('.')} or newer, and this is Node ${process.versions.node}. ` +
        `No Node for ${process.platform}-${process.arch} came with the packages: install Node 24, or run ` +
        '`npm ci` without --omit=optional.',
    )
    process.exitCode = 1
  } else {
    runWith(executable, script, scriptArguments)
  }
}

/** The Node 24 binary of the platform package, or undefined if none is installed. */
function bundledNode() {
  const require = createRequire(import.meta.url)
  const platform = process.platform === 'win32' ? 'win' : process.platform
  try {
    const manifest = require.resolve(`node-${platform}-${process.arch}/package.json`)
    return join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  } catch {
    return undefined
  }
}

/** Signals go on to the child, which decides when it ends; our exit status is the child's. */
function runWith(executable, file, rest) {
  // Children that look for `node` on the PATH (npm, vitest's workers) find the same one.
  const env = {
    ...process.env,
    PATH: `${dirname(executable)}${process.platform === 'win32' ? ';' : ':'}${process.env.PATH}`,
  }
  const isNode24 = major === 24 || !isNewEnough
  const options = isNode24 ? [...nodeOptions, ...optionsOfNode24] : nodeOptions
  const child = spawn(executable, [...options, ...process.execArgv, file, ...rest], {
    stdio: 'inherit',
    env,
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal sends Ctrl-C to the whole process group, so the child has it already.
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('error', (error) => {
    console.error(`cannot start ${executable}: ${error.message}`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
  })
}
