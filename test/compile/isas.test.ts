import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { native } from '../../lib/native/index.js'

const printed = async (script: string, env: Record<string, string>): Promise<string> => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', `test/compile/${script}`], {
    env: { ...process.env, ...env },
    timeout: 120_000,
  })
  return stdout.trim()
}

for (const isa of native.isas().split(',')) {
  test.serial(`programs on ${isa}`, async (t) => t.is(await printed('isa.ts', { ESPALIER_ISA: isa }), isa))

  test.serial(`quantised networks in every format on ${isa}`, async (t) => {
    const { isa: forced, kernels } = JSON.parse(await printed('integers.ts', { ESPALIER_ISA: isa })) as { isa: string; kernels: string[] }
    t.is(forced, isa)
    t.true(kernels.length > 0)
    t.log(kernels.join('; '))
  })
}

test.serial('programs without generated code', async (t) => t.is(await printed('isa.ts', { ESPALIER_JIT: '0' }), native.isa()))

test.serial('quantised networks without generated code', async (t) => {
  t.regex(await printed('integers.ts', { ESPALIER_JIT: '0' }), /"integer rows, 32-bit sums"/)
})
