// Rewrites the sources of native/cuda into plain C++ for the simulated device (native/test/cuda/simulated): launches,
// shared memory and the names of architectures, nothing else. Line numbers stay. (Arguments of a launch are evaluated
// by every thread: they must not change anything.)
// Usage: node scripts/simulated-kernels.mjs <folder of native> <folder to write>
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const simulated = '::espalier::simulated'

/** Where the expression that names a kernel begins, which ends before `end`: `name<T, N>` or `name`. */
function beginningOfKernel(text, end) {
  let at = end
  const skipSpace = () => {
    while (/\s/.test(text[at - 1])) at--
  }
  skipSpace()
  if (text[at - 1] === '>') {
    let depth = 0
    do {
      at--
      if (text[at] === '>' && text[at - 1] !== '-') depth++
      if (text[at] === '<') depth--
    } while (depth > 0)
    skipSpace()
  }
  while (/[\w:]/.test(text[at - 1])) at--
  return at
}

/** The place behind the bracket that closes the one at `open`. */
function behindBracket(text, open) {
  let depth = 0
  for (let at = open; at < text.length; at++) {
    if (text[at] === '(') depth++
    if (text[at] === ')' && --depth === 0) return at + 1
  }
  throw new Error(`a bracket is not closed: ${text.slice(open, open + 80)}`)
}

function rewriteLaunches(text) {
  for (let open = text.indexOf('<<<'); open >= 0; open = text.indexOf('<<<', open)) {
    const close = text.indexOf('>>>', open)
    const begin = beginningOfKernel(text, open)
    const kernel = text.slice(begin, open)
    const end = behindBracket(text, text.indexOf('(', close))
    const call = `${kernel}${text.slice(close + 3, end)}`
    const name = kernel.trim().replace(/\s+/g, ' ').replaceAll('"', '')
    const configuration = text.slice(open + 3, close)
    text = `${text.slice(0, begin)}${simulated}::launch("${name}", {${configuration}}, [&] { ${call}; })${text.slice(end)}`
  }
  return text
}

const rewrite = (text) =>
  rewriteLaunches(text)
    .replace(/extern __shared__ (?:__align__\((\d+)\) )?([^;[]+?) (\w+)\[\];/g, (_, align, type, name) => {
      return `${type}* const ${name} = ${simulated}::dynamic_shared_as<${type}>(${align ?? ''});`
    })
    .replace(/__shared__ (?:alignas\((\d+)\) )?([^;=]+?) (\w+)((?:\[[^;]*\])?);/g, (_, align, type, name, extent) => {
      const key = `${name}_in_shared_memory`
      const of = `${type}${extent}`
      return `static const char ${key} = 0; auto& ${name} = ${simulated}::shared_variable_as<${of}>(&${key}${align ? `, ${align}` : ''});`
    })
    .replaceAll('__CUDA_ARCH_FEAT_SM90_ALL', 'ESPALIER_SIMULATED_HOPPER')
    .replaceAll('__CUDA_ARCH__', 'ESPALIER_SIMULATED_ARCH')

function* filesBelow(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) yield* filesBelow(path)
    else yield path
  }
}

const [native, target] = process.argv.slice(2)
const written = new Set()
for (const path of filesBelow(join(native, 'cuda'))) {
  if (!/\.(cu|cuh|cc|h)$/.test(path)) continue
  const to = join(target, relative(native, path).replace(/\.cu$/, '.cu.cc'))
  written.add(to)
  // Written only where it changes, so that only what changes is compiled.
  const text = `#line 1 "${path}"\n${rewrite(readFileSync(path, 'utf8'))}`
  if (existsSync(to) && readFileSync(to, 'utf8') === text) continue
  mkdirSync(dirname(to), { recursive: true })
  writeFileSync(to, text)
}
if (existsSync(join(target, 'cuda'))) for (const path of filesBelow(join(target, 'cuda'))) if (!written.has(path)) rmSync(path)
