// The whole test run: build, lint, types, tests, then goldens and gradients on every instruction set.
// Usage: node scripts/test.mjs
import { availableParallelism } from 'node:os'
import { avaLines, bin, closingLine, node, output, Steps } from './steps.mjs'

const steps = new Steps()
const ava = bin('ava', 'entrypoints/cli.mjs')
/** Whose answers may depend on the instruction set. */
const kernels = ['test/ops/**', ...['sparse', 'sparseConv', 'accumulator', 'budget'].map((name) => `test/native/${name}.test.ts`)]

if (steps.run('build', node, ['scripts/build-native.mjs', '--if-needed'])) {
  steps.run('lint', node, ['scripts/lint.mjs'], { count: closingLine })
  steps.run('types', node, [bin('typescript', 'bin/tsc'), '-p', 'tsconfig.json'])
  steps.run('tests', node, [ava], { count: avaLines })
  const addon = "require('node-gyp-build')(process.cwd())"
  for (const isa of output(node, ['-p', `${addon}.isas()`])
    .trim()
    .split(',')) {
    const env = { ESPALIER_ISA: isa }
    // Forcing must have worked, else the runs below prove nothing.
    steps.run(`${isa} is used when forced`, node, ['-e', `process.exit(${addon}.isa() === '${isa}' ? 0 : 1)`], { env })
    steps.run(`goldens, ${isa}`, node, ['--import=tsx', 'test/goldens/run.ts'], { env, count: closingLine })
    steps.run(`operations, ${isa}`, node, [ava, ...kernels, '--concurrency', String(availableParallelism())], { env, count: avaLines })
  }
}
steps.finish()
