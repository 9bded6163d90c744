// Builds the CUDA addon and its check program into build-cuda/. Needs nvcc, no GPU.
// Usage: node scripts/build-cuda.mjs [--architectures "80;90a"] [--folder build-cuda]
//   by default for every architecture that native/CMakeLists.txt names; the fewer, the sooner it is done
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { buildWithCMake } from './cmake.mjs'
import { available, Steps } from './steps.mjs'

const { values } = parseArgs({ options: { architectures: { type: 'string' }, folder: { type: 'string', default: 'build-cuda' } } })

const nvcc = [process.env.CUDACXX, 'nvcc', '/usr/local/cuda/bin/nvcc'].find((path) => path && (existsSync(path) || available(path)))

const steps = new Steps()
if (nvcc === undefined) steps.skip('CUDA', 'nvcc is not installed')
else {
  const options = { ESPALIER_CUDA: 'ON', CMAKE_CUDA_COMPILER: nvcc }
  if (values.architectures !== undefined) options.ESPALIER_CUDA_ARCHITECTURES = values.architectures
  buildWithCMake(steps, values.folder, options, ['espalier_cuda_addon', 'espalier_cuda_check'])
}
steps.finish()
