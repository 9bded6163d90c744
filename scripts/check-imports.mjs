// Who may import whom: holds lib/ and native/ to the two lines of docs/architecture.md that say so,
// lib/ to the packages a user installs, and both to have no circles.
// Usage: node scripts/check-imports.mjs [root]
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url))
const faults = []

/** `a ← {b, c} ← d` as a map from each room to the set of rooms to its left. */
function layers(line) {
  const seen = []
  const allowed = new Map()
  for (const part of line.split('←')) {
    const rooms = part.match(/\w+/g)
    for (const room of rooms) allowed.set(room, new Set(seen))
    seen.push(...rooms)
  }
  return allowed
}

const architecture = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
function rule(pattern) {
  const line = architecture.match(pattern)
  if (line === null) throw new Error(`docs/architecture.md no longer says who may import whom (${pattern})`)
  return layers(line[1])
}
const libRooms = rule(/`(native ←[^`]*)`/)
const nativeRooms = rule(/`(include ← core ←[^`]*)`/)
nativeRooms.set('napi', new Set(['include']))

function* files(folder, extension) {
  if (!existsSync(join(root, folder))) return
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) yield* files(path, extension)
    else if (extension.test(entry.name)) yield path
  }
}

/** Comments out, so that examples in docstrings count for nothing. */
const code = (path) => readFileSync(join(root, path), 'utf8').replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, '$1')

const imports = new Map()

function check(path, room, target, targetRoom, rooms) {
  if (!rooms.has(targetRoom)) faults.push(`${path}: ${targetRoom} is a room that docs/architecture.md does not name`)
  else if (room !== targetRoom && !rooms.get(room)?.has(targetRoom)) faults.push(`${path} (${room}) may not import ${target} (${targetRoom})`)
}

const installed = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies ?? {})
for (const path of files('lib', /\.ts$/)) {
  const room = path.split('/').length > 2 ? path.split('/')[1] : undefined
  const targets = []
  for (const [, type, clause, from, dynamic] of code(path).matchAll(
    /\b(?:im|ex)port\s+(type\s+)?([^'";()]*?\bfrom\s*)?'([^']+)'|\bimport\s*\(\s*'([^']+)'\s*\)/g,
  )) {
    const name = from ?? dynamic
    if (clause === undefined && dynamic === undefined && type !== undefined) continue
    if (!name.startsWith('.')) {
      const pkg = name.startsWith('@') ? name.split('/').slice(0, 2).join('/') : name.split('/')[0]
      if (!name.startsWith('node:') && !installed.includes(pkg)) faults.push(`${path} imports ${name}, which is no dependency of the package`)
      continue
    }
    const target = normalize(join(dirname(path), name)).replace(/\.js$/, '.ts')
    if (!existsSync(join(root, target))) faults.push(`${path} imports ${name}, which is not there`)
    else if (!target.startsWith('lib/')) faults.push(`${path} imports ${name}, outside of lib`)
    else {
      // Types alone leave no trace at run time, so they make no circle; who may know whom holds for them too.
      if (type === undefined) targets.push(target)
      if (room !== undefined) check(path, room, target, target.split('/').length > 2 ? target.split('/')[1] : 'index.ts', libRooms)
    }
  }
  imports.set(path, targets)
}

for (const path of files('native', /\.(cc|cu|cuh|h|inl|inc)$/)) {
  const room = path.split('/')[1]
  if (room === 'test') continue
  const targets = []
  for (const [, name] of code(path).matchAll(/^\s*#\s*(?:include|define ESPALIER_KERNEL)\s*"([^"]+)"/gm)) {
    const target = [join(dirname(path), name), join('native', name), join('native/include', name)].find(
      (file) => existsSync(join(root, file)) && statSync(join(root, file)).isFile(),
    )
    if (target === undefined) {
      faults.push(`${path} includes ${name}, which is not there`)
      continue
    }
    targets.push(target)
    check(path, room, target, target.split('/')[1], nativeRooms)
  }
  imports.set(path, targets)
}

// Depth first; a file met again on the way down closes a circle.
const done = new Set()
function walk(path, trail) {
  if (trail.includes(path)) {
    faults.push(`a circle: ${[...trail.slice(trail.indexOf(path)), path].join(' → ')}`)
    return
  }
  if (done.has(path)) return
  for (const target of imports.get(path) ?? []) walk(target, [...trail, path])
  done.add(path)
}
for (const path of imports.keys()) walk(path, [])

for (const fault of faults) console.error(fault)
console.log(`imports: ${imports.size} files, ${faults.length} faults`)
if (faults.length > 0) process.exitCode = 1
