// The C library: compiled by every compiler at hand with warnings as errors, its native tests run, then
// installed and used by a C program that knows only the installed package.
// Usage: node scripts/native-test.mjs
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { buildWithCMake } from './cmake.mjs'
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

/** The library as its users have it: installed, found by find_package, linked statically and shared. */
function installAndUse(folder) {
  const prefix = `${root}build-consumer/installed`
  rmSync(`${root}build-consumer`, { recursive: true, force: true })
  mkdirSync(`${root}build-consumer/program`, { recursive: true })
  copyFileSync(`${root}native/test/c99.c`, `${root}build-consumer/program/main.c`)
  writeFileSync(
    `${root}build-consumer/program/CMakeLists.txt`,
    ['cmake_minimum_required(VERSION 3.20)', 'project(consumer C)', 'find_package(espalier 0.1 REQUIRED)']
      .concat(['shared', 'static'].flatMap((kind) => [`add_executable(${kind} main.c)`, `target_link_libraries(${kind} PRIVATE espalier::${kind})`]))
      .join('\n'),
  )
  const program = `${root}build-consumer/program`
  const build = `${root}build-consumer/build`
  if (
    steps.run('install', 'cmake', ['--install', folder, '--prefix', prefix], { quiet: true }) &&
    steps.run('find the package', 'cmake', ['-S', program, '-B', build, `-DCMAKE_PREFIX_PATH=${prefix}`], { quiet: true }) &&
    steps.run('compile against it', 'cmake', ['--build', build], { quiet: true })
  )
    for (const kind of ['shared', 'static']) steps.run(`run, ${kind}`, `${build}/${kind}`, [], { count: closingLine })
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
