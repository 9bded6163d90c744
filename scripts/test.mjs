// The whole test run: build, lint, types, tests, then goldens, operations, and sparse kernels and programs on every
// instruction set, and those that stand in where no code is generated.
// Usage: node scripts/test.mjs
import { availableParallelism } from 'node:os'
import { avaLines, bin, closingLine, node, output, Steps } from './steps.mjs'

const steps = new Steps()
const ava = bin('ava', 'entrypoints/cli.mjs')
const native = (...names) => names.map((name) => `test/native/${name}.test.ts`)
/** What runs on every instruction set: operations, which call the dense kernels, sparse kernels and programs, and bounds of sums. */
const kernels = ['test/ops/**', ...native('sparse', 'sparseConv', 'sparseInteger', 'program', 'accumulator', 'budget')]
/** Which runs on generated code where that can be had, and without it has to do. */
const generating = native('sparse', 'sparseConv', 'sparseInteger', 'program')

if (steps.run('build', node, ['scripts/build-native.mjs', '--if-needed'])) {
  steps.run('lint', node, ['scripts/lint.mjs'], { count: closingLine })
  steps.run('types', node, [bin('typescript', 'bin/tsc'), '-p', 'tsconfig.json'])
  steps.run('tests', node, [ava], { count: avaLines })
  const wide = ['--concurrency', String(availableParallelism())]
  const addon = "require('node-gyp-build')(process.cwd())"
  for (const isa of output(node, ['-p', `${addon}.isas()`])
    .trim()
    .split(',')) {
    const env = { ESPALIER_ISA: isa }
    // Forcing must have worked, else the runs below prove nothing.
    steps.run(`${isa} is used when forced`, node, ['-e', `process.exit(${addon}.isa() === '${isa}' ? 0 : 1)`], { env })
    steps.run(`goldens, ${isa}`, node, ['--import=tsx', 'test/goldens/run.ts'], { env, count: closingLine })
    steps.run(`operations, ${isa}`, node, [ava, ...kernels, ...wide], { env, count: avaLines })
    if (isa !== 'baseline') steps.run(`no generated code, ${isa}`, node, [ava, ...generating, ...wide], { env: { ...env, ESPALIER_JIT: '0' }, count: avaLines })
  }
}
steps.finish()
