// The addon and the native tests under a sanitizer.
// Usage: node scripts/sanitize.mjs address|thread
//   address  address and undefined-behaviour sanitizers: native tests, malformed calls, operations
//   thread   thread sanitizer: native tests (Node is not built for it: libuv's own locks would drown the rest)
import { existsSync } from 'node:fs'
import { buildWithCMake } from './cmake.mjs'
import { available, avaLines, bin, closingLine, googleTestLines, node, output, root, Steps } from './steps.mjs'

const kind = process.argv[2]
const tests = {
  address: ['test/native/**', 'test/ops/**'],
  thread: [],
}[kind]
if (tests === undefined) throw new Error('usage: node scripts/sanitize.mjs address|thread')

const steps = new Steps()
const folder = `build-${kind}`
const runtime = available('g++') ? output('g++', [`-print-file-name=lib${kind === 'address' ? 'asan' : 'tsan'}.so`]).trim() : ''
const googleTest = existsSync('/usr/include/gtest/gtest.h')

if (process.platform !== 'linux' || !runtime.startsWith('/') || !available('cmake')) steps.skip(kind, 'g++ with its sanitizers and cmake are needed, on Linux')
else if (
  buildWithCMake(steps, folder, { CMAKE_C_COMPILER: 'gcc', CMAKE_CXX_COMPILER: 'g++', ESPALIER_SANITIZE: kind, ESPALIER_TESTS: googleTest ? 'ON' : 'OFF' })
) {
  const env = {
    // Node frees nothing at exit, so leaks say nothing; an allocation that cannot be had must be an error, not an abort.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1',
  }
  if (googleTest) {
    steps.run(`native tests, ${kind}`, `${root}${folder}/espalier_tests`, ['--gtest_brief=1'], { env, count: googleTestLines })
    steps.run(`C99, ${kind}`, `${root}${folder}/espalier_c99`, [], { env, count: closingLine })
    steps.run(`CUDA on the host, ${kind}`, `${root}${folder}/espalier_cuda_host_tests`, ['--gtest_brief=1'], { env, count: googleTestLines })
    steps.run(`checks on an emulated GPU, ${kind}`, `${root}${folder}/espalier_cuda_emulated_checks`, [], { env, count: closingLine })
  } else steps.skip(`native tests, ${kind}`, 'GoogleTest is not installed (Debian: libgtest-dev)')
  if (tests.length > 0)
    steps.run(`addon, ${kind}`, node, [bin('ava', 'entrypoints/cli.mjs'), '--timeout=20m', '--concurrency=2', ...tests], {
      env: { ...env, ESPALIER_SANITIZED: kind, ESPALIER_PREBUILD: `${root}${folder}`, LD_PRELOAD: runtime },
      count: avaLines,
    })
  if (googleTest && kind === 'address')
    steps.run('the library on an emulated GPU, address', node, ['--import=tsx', 'test/cuda/run.ts'], {
      env: {
        ...env,
        ESPALIER_PREBUILD: `${root}${folder}`,
        ESPALIER_CUDA_ADDON: `${root}${folder}/build/Release/espalier_cuda_emulated.node`,
        LD_PRELOAD: runtime,
      },
      count: closingLine,
    })
}
steps.finish()
