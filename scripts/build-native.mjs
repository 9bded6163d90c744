// Builds the addon into build/Release/espalier.node.
// Usage: node scripts/build-native.mjs [--if-needed]
//
// A stamp beside the addon holds a digest of everything it was built from, so that --if-needed costs
// milliseconds, and neither touched files nor a half-finished build mislead it. Several callers may
// come at once (test runs, a quickstart in another terminal): one builds, the others wait for it.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const addon = join(root, 'build/Release/espalier.node')
const stamp = join(root, 'build/espalier.stamp')
const lock = join(root, 'build/espalier.lock')

/** The files the addon is made of: native tests and CUDA, which only CMake reads, are none of them. */
function* sources(folder) {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) {
      if (path !== 'native/test' && entry.name !== 'cuda') yield* sources(path)
    } else if (/\.(cc|h|inl|inc)$/.test(entry.name)) yield path
  }
}

function digest() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${process.versions.modules}`)
  for (const path of ['binding.gyp', ...sources('native')]) hash.update(`\n${path}\n`).update(readFileSync(join(root, path)))
  return hash.digest('hex')
}

const upToDate = (wanted) => existsSync(addon) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted

function alive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Waits for the lock; a lock whose holder is gone is taken over. */
function acquire() {
  mkdirSync(dirname(lock), { recursive: true })
  for (;;) {
    try {
      const file = openSync(lock, 'wx')
      writeFileSync(file, String(process.pid))
      closeSync(file)
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    let holder = ''
    let age = 0
    try {
      holder = readFileSync(lock, 'utf8')
      age = Date.now() - statSync(lock).mtimeMs
    } catch {
      continue // released meanwhile
    }
    // An empty lock is one being written; after a second, one whose writer died.
    if (holder === '' ? age > 1000 : !alive(Number(holder))) rmSync(lock, { force: true })
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  }
}

/** Our own node-gyp in a checkout; in an installed package the one that npm carries. */
function nodeGyp() {
  const require = createRequire(import.meta.url)
  try {
    return require.resolve('node-gyp/bin/node-gyp.js')
  } catch {}
  const npm = process.env.npm_execpath && dirname(process.env.npm_execpath)
  const candidates = [
    process.env.npm_config_node_gyp,
    npm && join(npm, '../node_modules/node-gyp/bin/node-gyp.js'),
    join(dirname(process.execPath), '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
    join(dirname(process.execPath), 'node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
  ]
  return candidates.find((path) => path && existsSync(path))
}

function build() {
  const gyp = nodeGyp()
  if (gyp === undefined) throw new Error('node-gyp is missing; in a checkout run: npm ci; elsewhere: npm install node-gyp')
  // Node's own headers, where its installation carries them: nothing needs to be downloaded then.
  const prefix = dirname(dirname(process.execPath))
  const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : []
  console.error('espalier: building the native addon (once, about a minute) …')
  // Configuring anew each time finds sources that came or went; make then compiles what changed.
  for (const step of ['configure', 'build']) {
    const jobs = step === 'build' ? ['-j', String(availableParallelism())] : []
    const run = spawnSync(process.execPath, [gyp, step, '--release', '--loglevel=error', ...headers, ...jobs], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (run.status !== 0) throw new Error('the build failed; a C++20 compiler, make and python3 are needed')
  }
}

let wanted = digest()
if (process.argv.includes('--if-needed') && upToDate(wanted)) process.exit(0)
acquire()
try {
  wanted = digest()
  if (!process.argv.includes('--if-needed') || !upToDate(wanted)) {
    rmSync(stamp, { force: true })
    build()
    writeFileSync(stamp, wanted)
  }
} catch (error) {
  console.error(`espalier: ${error.message}`)
  process.exitCode = 1
} finally {
  rmSync(lock, { force: true })
}
