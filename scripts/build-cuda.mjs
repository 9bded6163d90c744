// Builds the CUDA addon and its check program into build-cuda/. Needs nvcc, no GPU.
// Usage: node scripts/build-cuda.mjs [--architectures "80;90a"] [--folder build-cuda] [--library]
//   by default for every architecture that native/CMakeLists.txt names; the fewer, the sooner it is done
//   --library  builds the C library too, installs it, and in a checkout runs a C program that links it
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { buildWithCMake } from './cmake.mjs'
import { useInstalled } from './consumer.mjs'
import { available, root, Steps } from './steps.mjs'

const { values } = parseArgs({
  options: { architectures: { type: 'string' }, folder: { type: 'string', default: 'build-cuda' }, library: { type: 'boolean' } },
})

const nvcc = [process.env.CUDACXX, 'nvcc', '/usr/local/cuda/bin/nvcc'].find((path) => path && (existsSync(path) || available(path)))

const steps = new Steps()
if (nvcc === undefined) steps.skip('CUDA', 'nvcc is not installed')
else {
  const options = { ESPALIER_CUDA: 'ON', CMAKE_CUDA_COMPILER: nvcc }
  if (values.architectures !== undefined) options.ESPALIER_CUDA_ARCHITECTURES = values.architectures
  const targets = ['espalier_cuda_addon']
  // An installed package has nothing to run it by, and no program of C.
  if (existsSync(`${root}scripts/check-cuda.mjs`)) targets.push('espalier_cuda_check')
  if (values.library) targets.push('espalier_shared', 'espalier_static', 'espalier_cuda_shared', 'espalier_cuda_static')
  if (buildWithCMake(steps, values.folder, options, targets) && values.library) {
    const program = 'native/test/cuda/c99.c'
    if (existsSync(`${root}${program}`)) useInstalled(steps, values.folder, 'build-cuda-consumer', program, ['cuda_shared', 'cuda_static'], ['cuda'])
    else steps.run('install', 'cmake', ['--install', values.folder, '--prefix', `${root}build-cuda-consumer/installed`], { quiet: true })
  }
}
steps.finish()
