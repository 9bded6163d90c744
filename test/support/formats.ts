import { functionsOf } from '../../lib/compile/program.js'
import { Program } from '../../lib/index.js'

const headerBytes = 24

/**
 * The program with its layers in a format, at every batch size, wherever they can be had in it: as if that had been
 * measured to be the fastest. `program` has not been tuned.
 */
export function inFormat(program: Program, format: string): Program {
  const body = program.toBytes().subarray(headerBytes)
  const name = new TextEncoder().encode(format)
  const steps = Array.from(program.explain().steps.entries()).filter(([, step]) => step.format === format || format in (step.others ?? {}))
  const entry = 24 + name.length
  // In the place of the last field, which says that there are no choices.
  const at = body.length - 8
  const made = new Uint8Array(body.length + steps.length * entry)
  made.set(body)
  const view = new DataView(made.buffer)
  view.setBigInt64(at, BigInt(steps.length), true)
  for (const [i, [step]] of steps.entries()) {
    const from = at + 8 + i * entry
    for (const [field, value] of [step, 1, name.length].entries()) view.setBigInt64(from + 8 * field, BigInt(value), true)
    made.set(name, from + 24)
  }
  return new Program(functionsOf(program.device).programCreate(made), program.device)
}

/** The formats that some layer of the program can be had in. */
export const formatsOf = (program: Program): string[] => [
  ...new Set(program.explain().steps.flatMap(({ format, others = {} }) => (format === undefined ? [] : [format, ...Object.keys(others)]))),
]
