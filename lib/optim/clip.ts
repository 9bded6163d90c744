import { noGrad } from '../autograd/index.js'
import { describe, EspalierError, ensure, native, realNumber, type Storage } from '../native/index.js'
import { concat } from '../ops/index.js'
import { empty, hostValues, isFloat, KeptTensor, Tensor, tensor } from '../tensor/index.js'

const gradientsOf = (name: string, params: Iterable<Tensor> | Tensor): { parameter: Tensor; gradient: Tensor }[] => {
  const many = params instanceof Tensor ? [params] : params
  ensure(typeof many?.[Symbol.iterator] === 'function', 'INVALID_ARGUMENT', () => `${name}: params is ${describe(params)}, expected tensors`)
  const list = [...many]
  const found = []
  for (const parameter of list) {
    ensure(parameter instanceof Tensor, 'INVALID_ARGUMENT', () => `${name}: a parameter is ${describe(parameter)}, expected a tensor`)
    const gradient = parameter.grad
    if (gradient === null) continue
    ensure(isFloat(gradient.dtype), 'DTYPE_MISMATCH', () => `${name}: a gradient is ${gradient.dtype}`)
    found.push({ parameter, gradient })
  }
  return found
}

// Two parameters may share one gradient tensor (both operands of a sum do), so that a gradient is
// replaced and never written to.
function replaced(gradient: Tensor, write: (from: Storage, to: Storage) => void): Tensor {
  const from = heldOf(gradient)
  const fresh = empty(from.shape, from.dtype, from.device)
  write(from.storage, fresh.storage)
  return from === gradient ? fresh : new KeptTensor(fresh, (gradient as KeptTensor).entries)
}

/** What a gradient holds: of one that is 0 but where a mask keeps something, that alone. */
const heldOf = (gradient: Tensor): Tensor => (gradient instanceof KeptTensor ? (gradient.values ?? gradient) : gradient)

/** The p-norm of all elements, of shape [1]. */
function norm(x: Tensor, p: number): Tensor {
  const { storage, size, dtype, device } = heldOf(x)
  const result = empty([1], dtype, device)
  native.sliceNorm([size], [1], p, storage, result.storage)
  return result
}

/** Numbers of one element each, brought from a device in one go. */
function numbers(each: readonly Tensor[]): number[] {
  const kinds = new Set(each.map(({ device, dtype }) => `${device} ${dtype}`))
  if (kinds.size !== 1 || each[0].device === 'cpu') return each.map((one) => one.item())
  return Array.from(hostValues(noGrad(() => concat(each)).storage))
}

/**
 * Scales all gradients together so that their joint norm is at most `maxNorm`; returns the norm they
 * had. `normType` (default 2) is the exponent, above 0 or Infinity. With `errorIfNonfinite` a norm that is
 * NaN or infinite is an error and nothing changes. Pascanu et al. 2013.
 *
 * @param params tensors; those without a gradient are passed over
 * @param maxNorm from 0
 * @throws EspalierError INVALID_ARGUMENT for arguments out of range, STATE for a norm that is not finite where that is asked for
 * @example
 * ```ts
 * import { optim, tensor } from 'espalier'
 * const w = tensor([3, 4], { requiresGrad: true })
 * w.square().sum().backward() // the gradient is [6, 8]
 * optim.clipGradNorm(w, 1) // 10, the norm it had; now it is [0.6, 0.8]
 * ```
 */
export function clipGradNorm(
  params: Iterable<Tensor> | Tensor,
  maxNorm: number,
  { normType = 2, errorIfNonfinite = false }: { normType?: number; errorIfNonfinite?: boolean } = {},
): number {
  realNumber('clipGradNorm: maxNorm', maxNorm, 0)
  if (typeof normType !== 'number' || !(normType > 0))
    throw new EspalierError('INVALID_ARGUMENT', `clipGradNorm: normType is ${describe(normType)}, expected a number above 0`)
  const gradients = gradientsOf('clipGradNorm', params)
  const norms = numbers(gradients.map(({ gradient }) => norm(gradient, normType)))
  const total = norm(tensor(Float64Array.from(norms)), normType).item()
  if (errorIfNonfinite && !Number.isFinite(total)) throw new EspalierError('STATE', `clipGradNorm: the norm of the gradients is ${total}`)
  // As in PyTorch: the small term keeps the quotient finite, and at most 1 leaves them alone.
  const factor = maxNorm / (total + 1e-6)
  if (factor < 1 || Number.isNaN(factor))
    for (const { parameter, gradient } of gradients) parameter.grad = replaced(gradient, (from, to) => native.scaleGradient(from, factor, to))
  return total
}

/**
 * Brings every entry of every gradient into [−limit, limit], limit from 0.
 *
 * @param params tensors; those without a gradient are passed over
 * @throws EspalierError INVALID_ARGUMENT for arguments out of range
 */
export function clipGradValue(params: Iterable<Tensor> | Tensor, limit: number): void {
  realNumber('clipGradValue: limit', limit, 0)
  for (const { parameter, gradient } of gradientsOf('clipGradValue', params))
    parameter.grad = replaced(gradient, (from, to) => native.clampGradient(from, limit, to))
}
