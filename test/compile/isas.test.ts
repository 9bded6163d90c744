import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { native } from '../../lib/native/index.js'

const printed = async (env: Record<string, string>): Promise<string> => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', 'test/compile/isa.ts'], { env: { ...process.env, ...env }, timeout: 120_000 })
  return stdout.trim()
}

for (const isa of native.isas().split(',')) test.serial(`programs on ${isa}`, async (t) => t.is(await printed({ ESPALIER_ISA: isa }), isa))

test.serial('programs without generated code', async (t) => t.is(await printed({ ESPALIER_JIT: '0' }), native.isa()))
