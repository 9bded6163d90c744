// Rivals that are programs of their own: they take their inputs from a folder of raw arrays and then
// answer lines: `time N` with milliseconds, `output` with a file name. See rival.h and rival.py.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { NativeArray } from '../../lib/native/index.js'
import { requireInstalled, workshop } from './package.js'
import { type Contender, Missing } from './task.js'

const bench = fileURLToPath(new URL('..', import.meta.url))
export interface Program {
  rival: string
  /** Relative to bench/. */
  source: string
  /** The command that installs what it needs, told when it is absent. */
  install: string
  args?: readonly (string | number)[]
  /** Raw arrays the program reads by name. */
  inputs?: Record<string, NativeArray>
}

export interface CxxProgram extends Program {
  /** Compiler arguments: `-ldnnl`. */
  flags?: readonly string[]
}

/** A C++ program compiled now, for this processor. */
export function cxx({ source, flags = [], ...program }: CxxProgram): Contender {
  mkdirSync(workshop, { recursive: true })
  const binary = join(workshop, source.replace(/[^\w]/g, '-'))
  const compiler = process.env.CXX ?? 'c++'
  const made = spawnSync(compiler, ['-O3', '-march=native', '-std=c++20', `-I${bench}`, join(bench, source), '-o', binary, ...flags], { encoding: 'utf8' })
  if (made.status !== 0) {
    if (/No such file or directory|cannot find -l/.test(made.stderr ?? '')) throw new Missing(program.rival, program.install)
    throw new Error(`${source} does not compile:\n${made.stderr ?? made.error}`)
  }
  return serve(binary, [], program)
}

/** The first interpreter that has the modules: the one asked for, the PATH's, the system's (where Debian installs modules). */
const interpreterWith = (modules: readonly string[]): string | undefined =>
  [process.env.PYTHON, 'python3', '/usr/bin/python3'].find(
    (candidate) => candidate !== undefined && spawnSync(candidate, ['-c', modules.map((name) => `import ${name}`).join('\n')]).status === 0,
  )

/** A Python program. */
export function python({ source, modules, ...program }: Program & { modules: readonly string[] }): Contender {
  const interpreter = interpreterWith(modules)
  if (interpreter === undefined) throw new Missing(program.rival, program.install)
  return serve(interpreter, [join(bench, source)], program)
}

/** A script of ours around npm packages, which must be there. */
export function script({ source, packages, ...program }: Omit<Program, 'install'> & { packages: readonly string[] }): Contender {
  for (const name of packages) requireInstalled(name)
  return serve(process.execPath, ['--import=tsx', join(bench, source)], program)
}

function serve(command: string, first: string[], { rival, args = [], inputs = {} }: Omit<Program, 'source' | 'install'>): Contender {
  mkdirSync(workshop, { recursive: true })
  const folder = mkdtempSync(join(workshop, 'run-'))
  for (const [name, values] of Object.entries(inputs))
    writeFileSync(join(folder, name), new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength))
  const child = spawn(command, [...first, folder, ...args.map(String)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONPATH: join(bench, 'support'), PYTHONDONTWRITEBYTECODE: '1' },
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const failed = new Promise<never>((_, reject) => {
    child.on('error', reject)
    child.on('close', (status) => reject(new Error(`${rival} ended with status ${status}`)))
  })
  failed.catch(() => {})
  const ask = async (question: string): Promise<string> => {
    child.stdin.write(`${question}\n`)
    const line = await Promise.race([lines.next(), failed])
    if (line.done) return failed
    return line.value
  }
  return {
    time: async (repetitions) => Number(await ask(`time ${repetitions}`)),
    async output() {
      const [name, type] = (await ask('output')).split(' ')
      const bytes = readFileSync(join(folder, name))
      const Storage = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array }[type]
      if (Storage === undefined) throw new Error(`${rival} answers with ${type}`)
      return new Storage(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / Storage.BYTES_PER_ELEMENT)
    },
    close() {
      child.stdin.end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
