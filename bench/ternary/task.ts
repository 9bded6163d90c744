import { IntegerProblem, type Shape } from '../support/integers.js'
import type { Match } from '../support/task.js'

const shapes: readonly Shape[] = [
  [256, 256, 256],
  [512, 512, 1024],
  [1024, 1024, 256],
]

/** A pruned weight of −1 and 1 times a batch of uint8: the kernel that is chosen, and additions in sums of 16 bits. */
export default function* ternary(): Iterable<Match> {
  for (const shape of shapes)
    for (const sparsity of [0.8, 0.9, 0.95]) {
      const problem = new IntegerProblem(shape, sparsity, (value) => (value < 0 ? -1 : 1))
      yield* problem.matches()
      yield problem.match(' by signs', () => problem.ours({ kernel: 'signs' }))
      yield problem.match(' by signs in panels', () => problem.inPanels({ kernel: 'signs' }))
    }
}
