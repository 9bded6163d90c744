import { type Op, operations, traced } from '../../autograd/index.js'
import { type Conv2d, EspalierError } from '../../native/index.js'
import type { Tensor } from '../../tensor/index.js'

/**
 * The geometry of a layer's product for one sample, as the operation behind it has it. Where that takes the
 * channels of x for samples, each goes through the same weights by itself: they are groups then.
 */
export function geometryOf(layer: string, { shape: [n, channels] }: Tensor, product: () => Tensor): Conv2d {
  let found: Conv2d | null = null
  traced((name, args, output) => {
    if (name === 'linear' && output.rank === 2 && output.shape[0] === n) found = matrixProduct((args[0] as Tensor).shape[1], output.shape[1])
    if (name !== 'conv1d' && name !== 'conv2d') return
    const geometry = convolution(name, args)
    const [samples, inChannels] = (args[0] as Tensor).shape
    if (samples === n) found = geometry
    else if (samples === n * channels && inChannels === 1) found = eachChannel(geometry, channels)
  }, product)
  if (found === null) throw new EspalierError('INVALID_ARGUMENT', `integerNetwork: ${layer} is neither a convolution nor a matrix product of rows`)
  return found
}

const matrixProduct = (inputs: number, outputs: number): Conv2d => [1, inputs, 1, 1, outputs, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1]

function eachChannel(geometry: Conv2d, channels: number): Conv2d {
  const [, , height, width, outputs, ...rest] = geometry
  return [1, channels, height, width, channels * outputs, ...rest.slice(0, -1), channels] as unknown as Conv2d
}

/** What the operation keeps for its gradient. */
function convolution(name: string, args: readonly unknown[]): Conv2d {
  const { spec } = operations.get(name) as Op<readonly never[]>
  const { saved } = spec.forward(...(args as never[])) as { saved: Conv2d }
  const [, ...rest] = saved
  return [1, ...rest]
}
