import { type Op, operations, traced } from '../../autograd/index.js'
import { type Conv2d, EspalierError } from '../../native/index.js'
import type { Tensor } from '../../tensor/index.js'

/** The geometry of a layer's product for one sample, as the operation behind it has it. */
export function geometryOf(layer: string, product: () => Tensor): Conv2d {
  let found: Conv2d | null = null
  traced((name, args, output) => {
    if (name === 'linear' && output.rank === 2) found = matrixProduct((args[0] as Tensor).shape[1], output.shape[1])
    if (name === 'conv1d' || name === 'conv2d') found = convolution(name, args)
  }, product)
  if (found === null) throw new EspalierError('INVALID_ARGUMENT', `integerNetwork: ${layer} is neither a convolution nor a matrix product of rows`)
  return found
}

const matrixProduct = (inputs: number, outputs: number): Conv2d => [1, inputs, 1, 1, outputs, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1]

/** What the operation keeps for its gradient. */
function convolution(name: string, args: readonly unknown[]): Conv2d {
  const { spec } = operations.get(name) as Op<readonly never[]>
  const { saved } = spec.forward(...(args as never[])) as { saved: Conv2d }
  const [, ...rest] = saved
  return [1, ...rest]
}
