// The C library: compiled by every compiler at hand with warnings as errors, its native tests run, then
// installed and used by a C program that knows only the installed package.
// Usage: node scripts/native-test.mjs
import { existsSync } from 'node:fs'
import { buildWithCMake } from './cmake.mjs'
import { useInstalled } from './consumer.mjs'
import { available, closingLine, googleTestLines, node, output, root, Steps } from './steps.mjs'

const steps = new Steps()
const compilers = [
  ['gcc', 'g++'],
  ['clang', 'clang++'],
]
const googleTest = ['/usr', '/usr/local', '/opt/homebrew'].some((prefix) => existsSync(`${prefix}/include/gtest/gtest.h`))

/** The instruction sets of this machine, as the addon of that build tells them; it loads, then. */
const isas = (folder) =>
  output(node, ['-p', `require('./${folder}/build/Release/espalier.node').isas()`])
    .trim()
    .split(',')

function buildAndTest(c, cxx) {
  const folder = `build-${c}`
  if (!buildWithCMake(steps, folder, { CMAKE_C_COMPILER: c, CMAKE_CXX_COMPILER: cxx, ESPALIER_TESTS: googleTest ? 'ON' : 'OFF' })) return
  if (googleTest) {
    steps.run(`native tests, ${c}`, `${root}${folder}/espalier_tests`, ['--gtest_brief=1'], { count: googleTestLines })
    steps.run(`C99, ${c}`, `${root}${folder}/espalier_c99`, [], { count: closingLine })
    steps.run(`CUDA on the host, ${c}`, `${root}${folder}/espalier_cuda_host_tests`, ['--gtest_brief=1'], { count: googleTestLines })
    if (process.platform === 'linux') {
      steps.run(`checks on an emulated GPU, ${c}`, `${root}${folder}/espalier_cuda_emulated_checks`, [], { count: closingLine })
      steps.run(`the library on an emulated GPU, ${c}`, node, ['--import=tsx', 'test/cuda/run.ts'], {
        env: { ESPALIER_PREBUILD: `${root}${folder}`, ESPALIER_CUDA_ADDON: `${root}${folder}/build/Release/espalier_cuda_emulated.node` },
        count: closingLine,
      })
    }
  } else steps.skip(`native tests, ${c}`, 'GoogleTest is not installed (Debian: libgtest-dev)')
  // node-gyp builds the addon with one compiler and the runs of `npm test` check it; here the others have their turn.
  for (const ESPALIER_ISA of isas(folder))
    steps.run(`goldens, ${c} ${ESPALIER_ISA}`, node, ['--import=tsx', 'test/goldens/run.ts'], {
      env: { ESPALIER_ISA, ESPALIER_PREBUILD: `${root}${folder}` },
      count: closingLine,
    })
}

function installAndUse(folder) {
  const prefix = useInstalled(steps, folder, 'build-consumer', 'native/test/c99.c', ['shared', 'static'])
  if (prefix === null) return
  // The example of docs/embedding.md: a network that JavaScript compiled, in a program of C.
  const example = `${root}build-consumer/embedding`
  if (
    steps.run('find the package for the example', 'cmake', ['-S', `${root}examples/embedding`, '-B', example, `-DCMAKE_PREFIX_PATH=${prefix}`], {
      quiet: true,
    }) &&
    steps.run('compile the example', 'cmake', ['--build', example], { quiet: true })
  )
    for (const name of ['run', 'run-shared'])
      steps.run(`embedding, ${name}`, node, ['--import=tsx', 'test/embedding/run.ts', `${example}/${name}`], { count: closingLine })
}

if (!available('cmake')) steps.skip('C library', 'cmake is not installed')
else {
  for (const [c, cxx] of compilers)
    if (available(cxx)) buildAndTest(c, cxx)
    else steps.skip(c, `${cxx} is not installed`)
  const built = compilers.map(([c]) => `build-${c}`).find((folder) => existsSync(`${root}${folder}/libespalier.a`))
  if (built !== undefined) installAndUse(built)
}
steps.finish()
