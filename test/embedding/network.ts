// A network for programs in other languages to run, and a check of what they make of it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compile, manualSeed, nn, noGrad, prune, rand, type Tensor } from '../../lib/index.js'

/** A pruned network, some samples, and what the model itself makes of them. */
export function network(): { bytes: Uint8Array; x: Tensor; expected: Tensor } {
  manualSeed(9)
  const model = new nn.Sequential(
    ...[new nn.Conv2d(1, 4, 3), new nn.BatchNorm2d(4), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Flatten()],
    ...[new nn.Linear(36, 20), new nn.ReLU(), new nn.Linear(20, 5)],
  ).eval()
  prune.l1Unstructured(model.getModule('5'), 'weight', 0.9)
  const x = rand([7, 1, 8, 8])
  return { bytes: compile(model, { input: [1, 8, 8] }).toBytes(), x, expected: noGrad(() => model.forward(x)) }
}

/** Whether values are those expected, up to rounding. */
export const agree = (actual: ArrayLike<number>, expected: ArrayLike<number>): boolean =>
  actual.length === expected.length && Array.from(actual).every((value, i) => Math.abs(value - expected[i]) < 1e-5)

/** Runs examples/embedding/run.c, compiled to `program`, on good and on damaged files; what it did wrong, or null. */
export function faultOf(program: string): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-embedding-'))
  const [net, samples] = [join(folder, 'net.esp'), join(folder, 'samples.f32')]
  try {
    const { bytes, x, expected } = network()
    writeFileSync(net, bytes)
    writeFileSync(samples, new Uint8Array(x.data.buffer, x.data.byteOffset, x.data.byteLength))
    const printed = execFileSync(program, [net, samples], { encoding: 'utf8' })
    const rows = printed.trim().split('\n')
    if (rows.length !== 7) return `printed ${rows.length} rows, expected 7`
    if (
      !agree(
        rows.flatMap((row) => row.split(' ').map(Number)),
        expected.data,
      )
    )
      return `printed ${printed}`
    bytes[100] ^= 1
    writeFileSync(net, bytes)
    try {
      execFileSync(program, [net, samples], { stdio: 'pipe' })
      return 'took a damaged file'
    } catch (error) {
      const told = String((error as { stderr: Buffer }).stderr)
      return told.includes('the file is damaged') ? null : `said of a damaged file: ${told}`
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
