// Everything that reads the code without running it.
// Usage: node scripts/lint.mjs
import { available, bin, node, output, Steps } from './steps.mjs'

const steps = new Steps()
steps.run('TypeScript style', node, [bin('@biomejs/biome', 'bin/biome'), 'ci', '--colors=off'])
steps.run('bindings', node, ['scripts/bindings.mjs', '--check'])
steps.run('imports', node, ['scripts/check-imports.mjs'])
steps.run('text', node, ['scripts/check-text.mjs'])

const native = output('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'native'])
  .split('\n')
  .filter((path) => /\.(cc|c|cu|cuh|h|inl)$/.test(path))
if (available('clang-format')) steps.run('C++ style', 'clang-format', ['--dry-run', '--Werror', ...native])
else steps.skip('C++ style', 'clang-format is not installed')

// Nothing outside native/simd may assume x86: the C library must at least read as valid for 64-bit Arm.
const arm = 'aarch64-linux-gnu-g++'
if (available(arm)) {
  const sources = output(node, ['scripts/native-sources.mjs', 'core', 'simd', 'kernels', 'sparse', 'quant', 'program', 'capi']).trim().split('\n')
  steps.run(
    'compiles for arm64',
    'xargs',
    ['-P', '2', '-n', '4', arm, '-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Wno-psabi', '-Werror', '-Inative', '-Inative/include'],
    { input: sources.join('\n') },
  )
} else steps.skip('compiles for arm64', `${arm} is not installed`)
steps.finish()
