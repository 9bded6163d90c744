import { noGrad } from '../../autograd/index.js'
import { EspalierError, realNumber, wholeNumber } from '../../native/index.js'
import { assign, defaultGenerator, type Generator, type Tensor } from '../../tensor/index.js'
import { onHost } from '../onHost.js'

export interface ProbeOptions {
  /** How many. The more, the less the entries beside the diagonal disturb. Default 1. */
  probes?: number
  /** ε, in units of the weights. Default 1e-2 for float32, 1e-4 for float64. */
  epsilon?: number
  /** Draws the directions. */
  generator?: Generator
}

/**
 * The diagonal of a loss's Hessian in some weights as random directions show it, one probe after another: z ⊙ (∇L(w + εz) −
 * ∇L(w − εz)) / 2ε with random signs z, whose mean is the diagonal (Bekas et al. 2007; here by differences of
 * gradients). Weights are put back after each; gradients are not.
 */
export function* hessianDiagonals(
  weights: readonly Tensor[],
  loss: () => Tensor,
  { probes = 1, epsilon, generator = defaultGenerator }: ProbeOptions,
): IterableIterator<Tensor[]> {
  wholeNumber('Pruner.probe: probes', probes, 1)
  if (epsilon !== undefined) realNumber('Pruner.probe: epsilon', epsilon, Number.MIN_VALUE)
  const steps = weights.map(({ dtype }) => epsilon ?? (dtype === 'float64' ? 1e-4 : 1e-2))
  const before = weights.map((weight) => onHost(weight).copy())
  for (let probe = 0; probe < probes; probe++) {
    const signs = weights.map(({ shape, dtype }) => noGrad(() => onHost(generator.bernoulli(shape, { dtype, value: 2 })).sub(1)))
    const gradientsAt = (side: 1 | -1): Tensor[] => {
      for (const [i, weight] of weights.entries()) {
        assign(weight.storage, noGrad(() => before[i].add(signs[i].mul(side * steps[i]))).storage)
        weight.grad = null
      }
      loss().backward()
      return weights.map(({ grad }) => {
        if (grad !== null) return onHost(grad)
        throw new EspalierError('STATE', 'Pruner.probe: the loss does not depend on every weight that is scored by it')
      })
    }
    let sides: Tensor[][]
    try {
      sides = [gradientsAt(1), gradientsAt(-1)]
    } finally {
      for (const [i, weight] of weights.entries()) assign(weight.storage, before[i].storage)
    }
    yield weights.map((_, i) =>
      noGrad(() =>
        sides[0][i]
          .sub(sides[1][i])
          .mul(signs[i])
          .div(2 * steps[i]),
      ),
    )
  }
}
