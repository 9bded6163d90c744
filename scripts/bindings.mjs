// Derives from the C header what the addon and TypeScript must know of it:
//   native/napi/operations.inc   one line per function, for the marshaller
//   lib/native/operations.ts     the same functions and enums, typed
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

// What only makes sense on the CPU: its threads and instruction sets, its packed operands.
const hostOnly = (file, name) => file === 'runtime.h' || /^gemm_pack/.test(name)

const text = listed.map((file) => readFileSync(new URL(file, headers), 'utf8')).join('\n')
const camel = (snake) => snake.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())
const pascal = (snake) => camel(`_${snake}`)

// C types of parameters → TypeScript. A pointer to a scalar is a result, not a parameter.
const parameterTypes = {
  espalier_in: 'NativeArray | null',
  espalier_out: 'NativeArray | null',
  espalier_in_list: 'readonly NativeArray[]',
  espalier_out_list: 'readonly NativeArray[]',
  espalier_dims: 'readonly number[]',
  int64_t: 'number',
  double: 'number',
}
const resultTypes = { 'int64_t*': 'number', 'double*': 'number', 'const char**': 'string' }

const enums = []
for (const [, name, body] of text.matchAll(/typedef enum espalier_(\w+) \{([^}]*)\}/g)) {
  const prefix = `ESPALIER_${name.toUpperCase()}_`
  const members = [...body.matchAll(/ESPALIER_(\w+)\s*=\s*(\d+)/g)].map(([whole, member, value]) => [
    camel((whole.startsWith(prefix) ? whole.slice(prefix.length).split(/\s*=/)[0] : member).toLowerCase()),
    value,
  ])
  if (members.some(([, value], i) => Number(value) !== i)) throw new Error(`espalier_${name}: enumerators must count from 0`)
  enums.push({ name, members })
  parameterTypes[`espalier_${name}`] = pascal(name)
}

// A struct of int64_t fields is a geometry: its fields are passed as consecutive numbers.
const geometries = []
for (const [, body, name] of text.matchAll(/typedef struct espalier_\w+ \{([^}]*)\} espalier_(\w+);/g)) {
  if (`espalier_${name}` in parameterTypes) continue
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

const functions = []
for (const [, comment, name, list] of text.matchAll(/(\/\*(?:(?!\*\/)[\s\S])*\*\/\s*)?ESPALIER_API espalier_status espalier_(\w+)\(([^)]*)\);/g)) {
  const parameters = []
  const flat = []
  let result = 'void'
  for (const part of list.split(',')) {
    const [, type, parameter] = part.trim().match(/^(.*?)\s*(\w+)$/) ?? []
    if (type in resultTypes) result = resultTypes[type]
    else if (type in parameterTypes) {
      flat.push(...argumentsOf(type, parameter))
      parameters.push(`${isGeometry(type) ? '...' : ''}${camel(parameter)}: ${parameterTypes[type]}`)
    } else throw new Error(`espalier_${name}: cannot marshal "${part.trim()}"`)
  }
  const doc = (comment ?? '').replace(/^\/\*\s*|\s*\*\/\s*$/g, '').replace(/\n\s*\*?[ ]?/g, '\n   * ')
  functions.push({ name, flat, signature: `${camel(name)}(${parameters.join(', ')}): ${result}`, doc })
}

if (process.argv.includes('--json')) {
  console.log(JSON.stringify(functions.map(({ name, flat }) => ({ name: camel(name), parameters: flat }))))
  process.exit(0)
}

const notice = 'Derived from native/include/espalier by scripts/bindings.mjs; run `npm run bindings` after a change there.'
const inc = [
  `// ${notice}`,
  ...enums.map(({ name, members }) => `ESPALIER_ENUMERATION(${name}, ${members.length})`),
  ...functions.map(({ name }) => `ESPALIER_OPERATION(${name}, "${camel(name)}")`),
  '',
].join('\n')
const ts = [
  `// ${notice}`,
  '',
  'export type NativeArray = Float32Array | Float64Array | Int32Array | Int16Array | Int8Array | Uint8Array',
  '',
  ...enums.flatMap(({ name, members }) => [
    `export const ${pascal(name)} = {`,
    ...members.map(([member, value]) => `  ${member}: ${value},`),
    '} as const',
    `export type ${pascal(name)} = (typeof ${pascal(name)})[keyof typeof ${pascal(name)}]`,
    '',
  ]),
  ...geometries.flatMap(({ name, fields }) => [`export type ${pascal(name)} = readonly [${fields.map((field) => `${field}: number`).join(', ')}]`, '']),
  'export interface NativeOperations {',
  ...functions.flatMap(({ signature, doc }) => [...(doc ? [`  /** ${doc} */`] : []), `  ${signature}`]),
  '}',
  '',
].join('\n')

const declarations = listed.flatMap((file) => {
  const header = readFileSync(new URL(file, headers), 'utf8')
  return [...header.matchAll(/ESPALIER_API espalier_status espalier_(\w+)\(([^)]*)\);/g)]
    .filter(([, name]) => !hostOnly(file, name))
    .map(([, name, list]) => `ESPALIER_API espalier_status espalier_cuda_${name}(${list.replace(/\s+/g, ' ')});`)
})
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
