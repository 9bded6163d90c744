// What making kernels for a mask takes: as layers expect it, which decide by that how long a mask must last; as it is
// measured where they are made; and as what the first step of a layer, gradients and all, takes beyond a later one.
import { nn, ops, prune, rand } from '../../lib/index.js'
import { preparationTime } from '../../lib/nn/maskPlan.js'

/** Milliseconds. */
export interface MakingRow {
  task: 'making'
  case: string
  expectedMs: number
  madeMs: number
  firstStepMs: number
}

const batch = 64
const repeats = 5
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

export default async function making(say: (line: string) => void): Promise<readonly MakingRow[]> {
  const made: MakingRow[] = []
  for (const [rows, columns] of [
    [256, 256],
    [512, 512],
    [1024, 784],
    [1024, 1024],
    [2048, 2048],
  ])
    for (const sparsity of [0.7, 0.8, 0.9, 0.95]) {
      const tried = Array.from({ length: repeats }, () => oneLayer(rows, columns, sparsity))
      const row: MakingRow = {
        task: 'making',
        case: `${rows}x${columns} s=${sparsity.toFixed(2)}`,
        expectedMs: preparationTime('cpu', rows * columns, tried[0].kept) / 1e6,
        madeMs: median(tried.map(({ madeMs }) => madeMs)),
        firstStepMs: median(tried.map(({ firstStepMs }) => firstStepMs)),
      }
      made.push(row)
      const [expected, native, first] = [row.expectedMs, row.madeMs, row.firstStepMs].map((ms) => `${ms.toFixed(2)} ms`.padStart(9))
      say(`${row.case.padEnd(18)} expected ${expected}, made in ${native}, the first step takes ${first} more`)
    }
  return made
}

function oneLayer(rows: number, columns: number, sparsity: number): { kept: number; madeMs: number; firstStepMs: number } {
  const layer = new nn.Linear(columns, rows).maskedKernels('sparse')
  prune.l1Unstructured(layer, 'weight', sparsity)
  const x = rand([batch, columns], { requiresGrad: true })
  const step = (): number => {
    const start = performance.now()
    ops.sum(layer.forward(x)).backward()
    return performance.now() - start
  }
  const first = step()
  const later = median(Array.from({ length: 9 }, step))
  const { making, density } = nn.explain(layer).layers[0]
  return { kept: Math.round((density as number) * rows * columns), madeMs: (making as number) / 1e6, firstStepMs: first - later }
}
