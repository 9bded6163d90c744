// Rewrites the code in the style that lint asks for.
// Usage: node scripts/format.mjs
import { available, bin, node, output, Steps } from './steps.mjs'

const steps = new Steps()
steps.run('TypeScript', node, [bin('@biomejs/biome', 'bin/biome'), 'check', '--write', '--colors=off'])
const native = output('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'native'])
  .split('\n')
  .filter((path) => /\.(cc|c|cu|cuh|h|inl)$/.test(path))
if (available('clang-format')) steps.run('C++', 'clang-format', ['-i', ...native])
else steps.skip('C++', 'clang-format is not installed')
steps.finish()
