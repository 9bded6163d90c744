import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'

/** What the check says of a small tree of these files, under the real rules. */
function check(files: Record<string, string>): { status: number | null; said: string } {
  const root = mkdtempSync(join(tmpdir(), 'espalier-imports-'))
  try {
    mkdirSync(join(root, 'docs'))
    cpSync('docs/architecture.md', join(root, 'docs/architecture.md'))
    writeFileSync(join(root, 'package.json'), JSON.stringify({ dependencies: { listed: '1' } }))
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, path, '..'), { recursive: true })
      writeFileSync(join(root, path), text)
    }
    const run = spawnSync(process.execPath, ['scripts/check-imports.mjs', root], { encoding: 'utf8' })
    return { status: run.status, said: run.stderr }
  } finally {
    rmSync(root, { recursive: true })
  }
}

test('the tree itself keeps the rules', (t) => {
  const run = spawnSync(process.execPath, ['scripts/check-imports.mjs'], { encoding: 'utf8' })
  t.is(run.status, 0, run.stderr)
})

test('imports to the left pass', (t) => {
  const { status, said } = check({
    'lib/tensor/index.ts': 'export const a = 1\n',
    'lib/nn/index.ts': "import fs from 'node:fs'\nimport 'listed'\nimport {\n  a,\n} from '../tensor/index.js'\nexport const b = [fs, a]\n",
    'native/core/x.h': '#pragma once\n',
    'native/kernels/x.cc': '#include "core/x.h"\n',
  })
  t.is(status, 0, said)
})

const violations: Record<string, [Record<string, string>, RegExp]> = {
  'an import to the right': [
    { 'lib/nn/index.ts': 'export const a = 1\n', 'lib/tensor/index.ts': "export { a } from '../nn/index.js'\n" },
    /lib\/tensor\/index\.ts \(tensor\) may not import lib\/nn\/index\.ts \(nn\)/,
  ],
  'a type from the right': [
    { 'lib/nn/index.ts': 'export type A = 1\n', 'lib/tensor/index.ts': "import type { A } from '../nn/index.js'\nexport type B = A\n" },
    /may not import/,
  ],
  'a neighbour': [{ 'lib/quant/index.ts': 'export const a = 1\n', 'lib/prune/index.ts': "await import('../quant/index.js')\n" }, /may not import/],
  'a circle': [{ 'lib/nn/a.ts': "import './b.js'\n", 'lib/nn/b.ts': "import './a.js'\n" }, /a circle: lib\/nn\/a\.ts → lib\/nn\/b\.ts → lib\/nn\/a\.ts/],
  'a package that is not installed with ours': [{ 'lib/nn/a.ts': "import 'unlisted'\n" }, /no dependency/],
  'a room nobody named': [{ 'lib/attic/a.ts': "import '../nn/b.js'\n", 'lib/nn/b.ts': '' }, /may not import/],
  'the addon looking behind the header': [{ 'native/core/x.h': '', 'native/napi/x.cc': '#include "core/x.h"\n' }, /may not import/],
  'a kernel reaching for the interface': [{ 'native/capi/x.h': '', 'native/kernels/x.cc': '#include "capi/x.h"\n' }, /may not import/],
  'a circle of headers': [{ 'native/core/x.h': '#include "core/y.h"\n', 'native/core/y.h': '#include "core/x.h"\n' }, /a circle/],
}
for (const [name, [files, expected]] of Object.entries(violations))
  test(`caught: ${name}`, (t) => {
    const { status, said } = check(files)
    t.is(status, 1)
    t.regex(said, expected)
  })
