import { IntegerProblem } from '../support/integers.js'
import type { Shape } from '../support/products.js'
import type { Match } from '../support/task.js'

/** The whole range of int8, ends included, but for the zero. */
const toInt8 = (value: number): number => Math.round(value * 127) || 1

const shapes: readonly Shape[] = [
  [256, 256, 256],
  [512, 512, 1024],
  [1024, 1024, 256],
]

/** A pruned weight of int8, its zeros anywhere or in 1×4 blocks, times a batch of uint8, or one sample. */
export default function* int8(): Iterable<Match> {
  for (const shape of shapes) for (const sparsity of [0.8, 0.9, 0.95]) yield* new IntegerProblem(shape, sparsity, toInt8).matches()
  for (const shape of shapes) yield* new IntegerProblem(shape, 0.9, toInt8, '1x4').matches()
  for (const shape of shapes) yield new IntegerProblem(shape, 0, toInt8).match(' dense')
  for (const size of [512, 2048, 4096]) yield new IntegerProblem([size, size, 1], 0.9, toInt8).vector()
}
