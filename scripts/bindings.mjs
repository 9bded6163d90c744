// Derives from the C header what the addon and TypeScript must know of it:
//   native/napi/operations.inc        one line per function, for the marshaller
//   native/napi/cuda/operations.inc   the functions of the CUDA library, likewise
//   lib/native/operations.ts          functions and enums, typed
//   native/include/espalier/cuda/operations.h   the same functions on device memory
// Usage: node scripts/bindings.mjs [--check | --json]
//   --check  writes nothing and fails where something would change
//   --json   writes nothing and prints the functions with their parameters, for tests that call them all
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const root = new URL('..', import.meta.url)
const headers = new URL('native/include/espalier/', root)
const umbrella = readFileSync(new URL('native/include/espalier.h', root), 'utf8')
const listed = [...umbrella.matchAll(/#include "espalier\/(\w+\.h)"/g)].map((match) => match[1])
const forgotten = readdirSync(headers).filter((file) => file.endsWith('.h') && !listed.includes(file))
if (forgotten.length) throw new Error(`espalier.h does not include ${forgotten.join(', ')}`)

// What only makes sense on the CPU: its threads and instruction sets, its packed operands, its generated code, its compiled networks, its
// simulated registers.
const ofTheHost = ['runtime.h', 'sparse.h', 'sparse_conv.h', 'program.h', 'accumulator.h']
const hostOnly = (file, name) => ofTheHost.includes(file) || /^gemm_pack/.test(name)

// What the CUDA library has beyond them.
const cudaHeaders = [...readFileSync(new URL('native/include/espalier_cuda.h', root), 'utf8').matchAll(/#include "espalier\/(cuda\/\w+\.h)"/g)]
  .map((match) => match[1])
  .filter((file) => file !== 'cuda/operations.h')

const read = (file) => readFileSync(new URL(file, headers), 'utf8')
const text = listed.map(read).join('\n')
const cudaText = cudaHeaders.map(read).join('\n')
const camel = (snake) => snake.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())
const pascal = (snake) => camel(`_${snake}`)

// C types of parameters → TypeScript. A pointer to a scalar is a result, not a parameter.
const parameterTypes = {
  espalier_in: 'Storage | null',
  espalier_out: 'Storage | null',
  espalier_in_list: 'readonly Storage[]',
  espalier_out_list: 'readonly Storage[]',
  espalier_dims: 'readonly number[]',
  int64_t: 'number',
  double: 'number',
}
const resultTypes = { 'int64_t*': 'number', 'double*': 'number', 'const char**': 'string' }

/** The enumerations of a text, which join the types of parameters. */
function enumerations(text) {
  return [...text.matchAll(/typedef enum espalier_(\w+) \{([^}]*)\}/g)].map(([, name, body]) => enumeration(name, body))
}
function enumeration(name, body) {
  const prefix = `ESPALIER_${name.toUpperCase()}_`
  const members = [...body.matchAll(/ESPALIER_(\w+)\s*=\s*(\d+)/g)].map(([whole, member, value]) => [
    camel((whole.startsWith(prefix) ? whole.slice(prefix.length).split(/\s*=/)[0] : member).toLowerCase()),
    value,
  ])
  if (members.some(([, value], i) => Number(value) !== i)) throw new Error(`espalier_${name}: enumerators must count from 0`)
  parameterTypes[`espalier_${name}`] = pascal(name)
  return { name, members }
}
const enums = enumerations(text)
const cudaEnums = enumerations(cudaText)

// A struct of int64_t fields is a geometry: its fields are passed as consecutive numbers.
const geometries = []
for (const [, body, name] of `${text}${cudaText}`.matchAll(/typedef struct espalier_\w+ \{([^}]*)\} espalier_(\w+);/g)) {
  if (`espalier_${name}` in parameterTypes || /\bchar\b|\*/.test(body.replace(/\/\*.*?\*\//gs, ''))) continue
  const fields = [...body.replace(/\/\*.*?\*\//gs, '').matchAll(/int64_t ([^;]+);/g)].flatMap(([, names]) =>
    names.split(',').map((field) => camel(field.trim())),
  )
  geometries.push({ name, fields })
  parameterTypes[`espalier_${name}`] = pascal(name)
}
const isGeometry = (type) => geometries.some((geometry) => `espalier_${geometry.name}` === type)

/** The JavaScript arguments that stand for one C parameter. */
function argumentsOf(type, parameter) {
  const geometry = geometries.find(({ name }) => type === `espalier_${name}`)
  if (geometry) return geometry.fields.map((field) => ({ name: field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), kind: 'whole' }))
  const kinds = {
    espalier_in: 'in',
    espalier_out: 'out',
    espalier_in_list: 'ins',
    espalier_out_list: 'outs',
    espalier_dims: 'dims',
    int64_t: 'whole',
    double: 'real',
  }
  return [{ name: parameter, kind: kinds[type] ?? 'enumeration', count: enums.find(({ name }) => type === `espalier_${name}`)?.members.length }]
}

/**
 * The functions a text declares, named without `prefix`. A function that deals in addresses or in more
 * results than one is no function of JavaScript's: with `plainOnly` it is left out, else it is an error.
 */
function functionsOf(text, prefix, plainOnly) {
  const functions = []
  for (const [, comment, name, list] of text.matchAll(/(\/\*(?:(?!\*\/)[\s\S])*\*\/\s*)?ESPALIER_API espalier_status espalier_(\w+)\(([^)]*)\);/g)) {
    const parameters = []
    const flat = []
    const results = []
    const others = []
    for (const part of list === 'void' ? [] : list.split(',')) {
      const [, type, parameter] = part.trim().match(/^(.*?)\s*(\w+)$/) ?? []
      if (type in resultTypes) results.push(resultTypes[type])
      else if (type in parameterTypes) {
        flat.push(...argumentsOf(type, parameter))
        parameters.push(`${isGeometry(type) ? '...' : ''}${camel(parameter)}: ${parameterTypes[type]}`)
      } else others.push(part.trim())
    }
    if (plainOnly && (others.length > 0 || results.length > 1)) continue
    if (others.length > 0) throw new Error(`espalier_${name}: cannot marshal "${others[0]}"`)
    const doc = (comment ?? '').replace(/^\/\*\s*|\s*\*\/\s*$/g, '').replace(/\n\s*\*?[ ]?/g, '\n   * ')
    const js = camel(name.slice(prefix.length))
    functions.push({ name, js, flat, signature: `${js}(${parameters.join(', ')}): ${results.at(-1) ?? 'void'}`, doc })
  }
  return functions
}
const functions = functionsOf(text, '', false)
// The addon knows those that native/cuda and native/capi/cuda define.
const cudaSources = ['native/cuda/', 'native/capi/cuda/'].flatMap((folder) =>
  readdirSync(new URL(folder, root))
    .filter((file) => /\.(cu|cc)$/.test(file))
    .map((file) => readFileSync(new URL(`${folder}${file}`, root), 'utf8')),
)
const cudaDefines = new Set(cudaSources.flatMap((source) => [...source.matchAll(/^espalier_status\s+espalier_cuda_(\w+)\(/gm)].map((match) => match[1])))
const shared = listed.flatMap((file) => functionsOf(read(file), '', false).filter(({ name }) => !hostOnly(file, name) && cudaDefines.has(name)))
const cudaFunctions = functionsOf(cudaText, 'cuda_', true).filter(({ name }) => cudaDefines.has(name.slice('cuda_'.length)))

if (process.argv.includes('--json')) {
  console.log(JSON.stringify(functions.map(({ js, flat }) => ({ name: js, parameters: flat }))))
  process.exit(0)
}

const notice = 'Derived from native/include/espalier by scripts/bindings.mjs; run `npm run bindings` after a change there.'
const inc = [
  `// ${notice}`,
  ...enums.map(({ name, members }) => `ESPALIER_ENUMERATION(${name}, ${members.length})`),
  ...functions.map(({ name, js }) => `ESPALIER_OPERATION(${name}, "${js}")`),
  '',
].join('\n')
const cudaInc = [
  `// ${notice}`,
  ...[...enums, ...cudaEnums].map(({ name, members }) => `ESPALIER_ENUMERATION(${name}, ${members.length})`),
  ...shared.map(({ name, js }) => `ESPALIER_OPERATION(cuda_${name}, "${js}")`),
  ...cudaFunctions.map(({ name, js }) => `ESPALIER_OPERATION(${name}, "${js}")`),
  '',
].join('\n')
const member = ({ signature, doc }) => [...(doc ? [`  /** ${doc} */`] : []), `  ${signature}`]
const ts = [
  `// ${notice}`,
  '',
  "import type { Storage } from './storage.js'",
  '',
  ...[...enums, ...cudaEnums].flatMap(({ name, members }) => [
    `export const ${pascal(name)} = {`,
    ...members.map(([member, value]) => `  ${member}: ${value},`),
    '} as const',
    `export type ${pascal(name)} = (typeof ${pascal(name)})[keyof typeof ${pascal(name)}]`,
    '',
  ]),
  ...geometries.flatMap(({ name, fields }) => [`export type ${pascal(name)} = readonly [${fields.map((field) => `${field}: number`).join(', ')}]`, '']),
  'export interface NativeOperations {',
  ...functions.flatMap(member),
  '}',
  '',
  '/** Those that have a counterpart on a GPU, which takes device arrays. */',
  'export const onDevice = [',
  ...shared.map(({ js }) => `  '${js}',`),
  '] as const satisfies readonly (keyof NativeOperations)[]',
  '',
  '/** What the CUDA library has beyond them. */',
  'export interface CudaOperations {',
  ...cudaFunctions.flatMap(member),
  '}',
  '',
  'export const onDeviceAlone = [',
  ...cudaFunctions.map(({ js }) => `  '${js}',`),
  '] as const satisfies readonly (keyof CudaOperations)[]',
  '',
].join('\n')

const declarations = listed.flatMap((file) =>
  [...read(file).matchAll(/ESPALIER_API espalier_status espalier_(\w+)\(([^)]*)\);/g)]
    .filter(([, name]) => !hostOnly(file, name))
    .map(([, name, list]) => `ESPALIER_API espalier_status espalier_cuda_${name}(${list.replace(/\s+/g, ' ')});`),
)
const cuda = [
  `/* ${notice} */`,
  '#ifndef ESPALIER_CUDA_OPERATIONS_H',
  '#define ESPALIER_CUDA_OPERATIONS_H',
  '',
  '#include "../../espalier.h"',
  '',
  '/* clang-format off */',
  ...declarations,
  '/* clang-format on */',
  '',
  '#endif',
  '',
].join('\n')

for (const [path, content] of [
  ['native/include/espalier/cuda/operations.h', cuda],
  ['native/napi/operations.inc', inc],
  ['native/napi/cuda/operations.inc', cudaInc],
  ['lib/native/operations.ts', ts],
]) {
  const file = new URL(path, root)
  let current = ''
  try {
    current = readFileSync(file, 'utf8')
  } catch {}
  if (current === content) continue
  if (process.argv.includes('--check')) {
    console.error(`${path} is not what the header says; run: npm run bindings`)
    process.exitCode = 1
  } else writeFileSync(file, content)
}
