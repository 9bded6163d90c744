// Every example that the documentation shows runs: ```ts blocks after @example in docstrings of lib/, and
// those of README.md and docs/. Each is a program of its own that must end without an error.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'

interface Example {
  name: string
  source: string
}

/** The ```ts blocks of a text, named by file and line. */
function blocks(path: string, text: string, firstLine = 1): Example[] {
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => ({
    name: `${path}:${firstLine + text.slice(0, match.index).split('\n').length - 1}`,
    source: match[1],
  }))
}

/** The blocks that follow an @example in the docstrings of a source. */
function docstringBlocks(path: string, text: string): Example[] {
  return [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap(({ 0: comment, index }) => {
    const at = comment.indexOf('@example')
    if (at < 0) return []
    const plain = comment.slice(at).replace(/^[ \t]*\*\/?[ \t]?/gm, '')
    return blocks(path, plain, text.slice(0, index + at).split('\n').length)
  })
}

const files = (folder: string, extension: string): string[] =>
  (readdirSync(folder, { recursive: true }) as string[])
    .filter((path) => path.endsWith(extension))
    .map((path) => join(folder, path))
    .sort()
const examples = [
  ...files('lib', '.ts').flatMap((path) => docstringBlocks(path, readFileSync(path, 'utf8'))),
  ...[...files('docs', '.md'), 'README.md'].filter(existsSync).flatMap((path) => blocks(path, readFileSync(path, 'utf8'))),
]

// Inside the checkout, so that 'espalier' resolves as it does for the other tests.
const folder = 'build/examples'
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

// A program costs a second of start-up, most of it waiting: a few at a time.
const lanes = Array.from({ length: availableParallelism() }, () => Promise.resolve())

for (const [i, { name, source }] of examples.entries())
  test(name, async (t) => {
    const file = join(folder, `${i}.ts`)
    writeFileSync(file, source)
    const turn = lanes[i % lanes.length].then(async () => {
      await t.notThrowsAsync(promisify(execFile)(process.execPath, ['--import=tsx', file], { timeout: 120_000 }))
    })
    lanes[i % lanes.length] = turn.catch(() => {})
    await turn
  })

test('there are examples', (t) => {
  t.true(examples.length > 0)
})
