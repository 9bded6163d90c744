// The C library: compiled by every compiler at hand with warnings as errors, its native tests run, then
// installed and used by a C program that knows only the installed package.
// Usage: node scripts/native-test.mjs
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { buildWithCMake } from './cmake.mjs'
import { available, closingLine, googleTestLines, root, Steps } from './steps.mjs'

const steps = new Steps()
const googleTest = ['/usr/include/gtest/gtest.h', '/usr/local/include/gtest/gtest.h', '/opt/homebrew/include/gtest/gtest.h'].some(existsSync)

if (!available('cmake')) steps.skip('C library', 'cmake is not installed')
else {
  for (const [compiler, c, cxx] of [
    ['gcc', 'gcc', 'g++'],
    ['clang', 'clang', 'clang++'],
  ]) {
    if (!available(cxx)) {
      steps.skip(compiler, `${cxx} is not installed`)
      continue
    }
    const folder = `build-${compiler}`
    const options = { CMAKE_C_COMPILER: c, CMAKE_CXX_COMPILER: cxx, ESPALIER_TESTS: googleTest ? 'ON' : 'OFF' }
    if (!buildWithCMake(steps, folder, options)) continue
    if (!googleTest) steps.skip(`native tests, ${compiler}`, 'GoogleTest is not installed (Debian: libgtest-dev)')
    else
      for (const isa of ['', ...isas(folder)]) {
        const env = isa === '' ? {} : { ESPALIER_ISA: isa }
        steps.run(`native tests, ${compiler} ${isa}`, `${root}${folder}/espalier_tests`, ['--gtest_brief=1'], { env, count: googleTestLines })
      }
    steps.run(`C99, ${compiler}`, `${root}${folder}/espalier_c99`, [], { count: closingLine })
  }
  consumer()
}
steps.finish()
