import { IntegerProblem } from '../support/integers.js'
import { inPanels, inRows, type Shape } from '../support/products.js'
import type { Match } from '../support/task.js'

const shapes: readonly Shape[] = [
  [256, 256, 256],
  [512, 512, 1024],
  [1024, 1024, 256],
]

/** A pruned weight of −1 and 1 times a batch of uint8: the kernel that is chosen, and additions in sums of 16 bits where these are proved. */
export default function* ternary(): Iterable<Match> {
  for (const shape of shapes)
    for (const sparsity of [0.8, 0.9, 0.95]) {
      const problem = new IntegerProblem(shape, sparsity, (value) => (value < 0 ? -1 : 1))
      yield* problem.matches()
      if (problem.neededBits > 16) continue
      yield problem.match(' by signs', () => inRows(problem.product({ kernel: 'signs' })))
      yield problem.match(' by signs in panels', () => inPanels(problem.product({ kernel: 'signs' })))
    }
  for (const size of [512, 2048, 4096]) yield new IntegerProblem([size, size, 1], 0.9, (value) => (value < 0 ? -1 : 1)).vector()
}
