import { asTensor, defineOp } from '../autograd/index.js'
import { type Channels, EspalierError, ensure, native, realNumber, type Storage } from '../native/index.js'
import { empty, formatShape, type Shape, type Tensor, wideOf, widerDtype } from '../tensor/index.js'

export interface BatchNormOptions {
  /** Statistics [C] to normalise by when not training; updated in place when training. Both or neither. */
  runningMean?: Tensor | null
  runningVar?: Tensor | null
  /** Whether to normalise by the batch's own statistics. Default false. */
  training?: boolean
  /** How far the running statistics move towards the batch's, in [0, 1]. Default 0.1. */
  momentum?: number
  /** Added to the variance. Default 1e-5. */
  eps?: number
}

interface Saved {
  shape: Channels
  training: boolean
  mean: Storage
  /** Training: 1 / sqrt(var + eps); otherwise the variance. */
  scale: Storage
  eps: number
}

/** x as [batch, channels, size], and checks of what goes with it. */
function channelsOf(x: Tensor, weight?: Tensor | null, bias?: Tensor | null, { runningMean, runningVar }: BatchNormOptions = {}): Channels {
  const { shape } = asTensor('batch_norm', 'x', x)
  ensure(shape.length >= 2, 'SHAPE_MISMATCH', () => `batch_norm: x has shape ${formatShape(shape)}, expected [N, C, …]`)
  for (const [name, vector] of Object.entries({ weight, bias, runningMean, runningVar })) {
    if (vector === null || vector === undefined) continue
    widerDtype('batch_norm', x, asTensor('batch_norm', name, vector))
    ensure(vector.size === shape[1], 'SHAPE_MISMATCH', () => `batch_norm: ${name} has shape ${formatShape(vector.shape)}, expected [${shape[1]}]`)
  }
  return [shape[0], shape[1], shape.slice(2).reduce((product, dimension) => product * dimension, 1)]
}

/**
 * (x − mean) / sqrt(var + eps) · weight + bias for each channel of x [N, C, …]. Ioffe & Szegedy 2015.
 *
 * Training, mean and (biased) variance are the batch's, and the running statistics, where given, become
 * (1 − momentum) · old + momentum · batch, the variance there unbiased; a channel of a single value
 * is an error. Otherwise they are the running ones. weight and bias are [C], or null: 1 and 0.
 */
export const batchNorm = defineOp({
  name: 'batch_norm',
  forward(x: Tensor, weight?: Tensor | null, bias?: Tensor | null, options: BatchNormOptions = {}): { output: Tensor; saved: Saved } {
    const shape = channelsOf(x, weight, bias, options)
    const { training = false, momentum = 0.1, eps = 1e-5, runningMean, runningVar } = options
    realNumber('batch_norm: eps', eps, 0)
    const output = empty(x.shape, x.dtype)
    const factors = [weight?.storage ?? null, bias?.storage ?? null] as const
    if (training) {
      realNumber('batch_norm: momentum', momentum, 0, 1)
      const [mean, scale] = [1, 2].map(() => empty([shape[1]], wideOf(x.dtype)).storage)
      native.batchNormTrain(
        x.storage,
        ...factors,
        momentum,
        eps,
        runningMean?.storage ?? null,
        runningVar?.storage ?? null,
        mean,
        scale,
        output.storage,
        ...shape,
      )
      return { output, saved: { shape, training, mean, scale, eps } }
    }
    if (!runningMean || !runningVar)
      throw new EspalierError('INVALID_ARGUMENT', 'batch_norm: runningMean and runningVar are missing; without training they are what x is normalised by')
    native.batchNormEval(x.storage, ...factors, runningMean.storage, runningVar.storage, eps, output.storage, ...shape)
    return { output, saved: { shape, training, mean: runningMean.storage, scale: runningVar.storage, eps } }
  },
  backward(grad, { args: [x, weight, bias], needs, saved: { shape, training, mean, scale, eps } }) {
    const wanted = [...needs]
    const gradientOf = (argument: Tensor | null | undefined): Tensor | null => (argument && wanted.shift() ? empty(argument.shape, argument.dtype) : null)
    const [dx, dweight, dbias] = [gradientOf(x), gradientOf(weight), gradientOf(bias)]
    const out = [dx?.storage ?? null, dweight?.storage ?? null, dbias?.storage ?? null] as const
    if (training) native.batchNormTrainBackward(grad.storage, x.storage, weight?.storage ?? null, mean, scale, ...out, ...shape)
    else native.batchNormEvalBackward(grad.storage, x.storage, weight?.storage ?? null, mean, scale, eps, ...out, ...shape)
    return [dx, ...(weight ? [dweight] : []), ...(bias ? [dbias] : [])]
  },
  cases(sample) {
    const shapes: Shape[] = [
      [2, 1],
      [3, 4],
      [5, 17],
      [4, 33],
      [2, 3, 5],
      [1, 2, 17],
      [2, 2, 3, 3],
      [2, 1, 4, 9],
      [0, 3, 2],
    ]
    return shapes.flatMap((shape) => {
      const perChannel = (min: number) => sample([shape[1]], { min })
      const running = { runningMean: perChannel(-1).detach(), runningVar: perChannel(0.5).detach() }
      return [
        [sample(shape), perChannel(-2), perChannel(-2), { training: true }],
        [sample(shape), null, perChannel(-2), { training: true, eps: 1e-3 }],
        [sample(shape), perChannel(-2), null, running],
      ] as [Tensor, Tensor | null, Tensor | null, BatchNormOptions][]
    })
  },
})
