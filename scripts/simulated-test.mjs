// The CUDA library's kernels, run on the CPU by a simulated device: every check that a GPU gets, but for those whose
// size or subject it has not (see docs/cuda.md).
// Usage: node scripts/simulated-test.mjs [text,… that names of checks hold]
import { availableParallelism } from 'node:os'
import { buildWithCMake } from './cmake.mjs'
import { available, closingLine, node, root, Steps } from './steps.mjs'

const steps = new Steps()
const folder = 'build-simulated'
const only = process.argv[2] === undefined ? [] : ['--only', process.argv[2]]

// Training in many steps, whether memory comes back, and choices for large layers: npm run test:native has these on an
// emulated device.
const long = 'memory,fit with a device,trained in bfloat16,by itself a'

if (process.platform !== 'linux' || process.arch !== 'x64') steps.skip('a simulated GPU', 'it runs on Linux, x86-64')
else if (!available('cmake')) steps.skip('a simulated GPU', 'cmake is not installed')
else if (buildWithCMake(steps, folder, { ESPALIER_SIMULATED: 'ON' }, ['espalier_cuda_simulated_checks', 'espalier_cuda_simulated'])) {
  // Its memory is not reused, so that each array has guards of its own.
  steps.run(
    'checks of the kernels on a simulated GPU',
    `${root}${folder}/espalier_cuda_simulated_checks`,
    [...only, '--except', 'memory_is_reused', '--jobs', `${availableParallelism()}`],
    { count: closingLine },
  )
  steps.run('the library on a simulated GPU', node, ['--import=tsx', 'test/cuda/run.ts', ...only, '--except', long], {
    env: { ESPALIER_CUDA_ADDON: `${root}${folder}/build/Release/espalier_cuda_simulated.node` },
    count: closingLine,
  })
}
steps.finish()
