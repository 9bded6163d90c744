// What the checks of masked and sparse layers share.
import { nn, ops, type optim, prune, type Tensor, tensor } from '../../lib/index.js'
import { cudaOn, native, nativeOnGpu } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'
import { require } from './harness.js'

/** The rules by which masked weights learn, or do not. */
export const rules = { masked: prune.masked, straightThrough: prune.straightThrough, srSte: prune.srSte() } as const

/** A mask of zeros and ones of this shape, by the row and the column of each entry: all but the first dimension are columns. */
export function maskBy(shape: readonly number[], keeps: (row: number, column: number) => boolean): Tensor {
  const columns = shape.slice(1).reduce((product, dimension) => product * dimension, 1)
  return tensor(
    Float32Array.from({ length: shape[0] * columns }, (_, i) => Number(keeps(Math.floor(i / columns), i % columns))),
    [...shape],
  )
}

export function randomMask(shape: readonly number[], density: number, seed: number): Tensor {
  const random = randomSource(seed)
  return maskBy(shape, () => random() < density)
}

/** Masks of all kinds. */
export const masks: Record<string, (row: number, column: number) => boolean> = {
  all: () => true,
  none: () => false,
  one: (row, column) => row === 0 && column === 0,
  'empty rows': (row, column) => row % 2 === 0 && column % 3 !== 0,
  'as many in each row': (row, column) => (column + row) % 5 === 0,
  few: (row, column) => ((row * 67 + column) * 2654435761) % 97 < 9,
}

/** A model on dense kernels of the CPU, and on dense and sparse ones of the device. */
export function triplets<M extends nn.Module>(model: M): [here: M, dense: M, sparse: M] {
  return [model.clone().maskedKernels('dense'), model.clone().to('cuda').maskedKernels('dense'), model.clone().to('cuda').maskedKernels('sparse')]
}

export const deviceOf = (model: nn.Module) => model.parameters()[0].device

/** One step of training on classes, wherever the model is; its loss. */
export function stepped(model: nn.Module, update: Pick<optim.SGD, 'zeroGrad' | 'step'>, x: Tensor, labels: Tensor): number {
  const loss = ops.crossEntropy(model.forward(x.to(deviceOf(model))), labels.to(deviceOf(model)))
  update.zeroGrad()
  loss.backward()
  update.step()
  return loss.item()
}

/** What `nn.explain` says of a layer. */
const told = (model: nn.Module, i: number): string => {
  const { runs, reason } = nn.explain(model).layers[i]
  return `${runs}: ${reason}`
}
export function tells(model: nn.Module, expected: string | RegExp, i = 0): void {
  const found = told(model, i)
  require(typeof expected === 'string' ? found === expected : expected.test(found), `${found} = ${expected}`)
}

/** Output and gradients of one layer. */
export function pass(layer: nn.Module, x: Tensor): Record<string, Tensor> {
  const input = tensor(x, { device: deviceOf(layer) }).copy()
  input.requiresGrad = true
  layer.zeroGrad()
  const y = layer.forward(input)
  ops.sum(ops.square(y)).backward()
  return {
    output: y,
    'gradient of x': input.grad as Tensor,
    'gradient of the weight': layer.latentWeight('weight').grad as Tensor,
    ...(layer.effectiveOrNull('bias') === null ? {} : { 'gradient of the bias': layer.latentWeight('bias').grad as Tensor }),
  }
}

/** Runs `body`, which is told which of some native functions were called since it last asked, sorted and joined by commas. */
export function watched(names: readonly string[], body: (called: () => string) => void): void {
  const state = cudaOn('cuda')
  const { addon } = state
  // (What the addon itself holds cannot be replaced.)
  const spied = Object.create(addon) as Record<string, unknown>
  const seen: string[] = []
  const undo: (() => void)[] = []
  for (const name of names) {
    const transfer = name === 'download' || name === 'upload'
    const holder = (transfer ? addon : name in nativeOnGpu ? nativeOnGpu : native) as unknown as Record<string, (...args: unknown[]) => unknown>
    const before = holder[name]
    const told = (...args: unknown[]): unknown => {
      seen.push(name)
      return before.apply(holder, args)
    }
    if (transfer) Object.defineProperty(spied, name, { value: told })
    else {
      holder[name] = told
      undo.push(() => {
        holder[name] = before
      })
    }
  }
  Object.assign(state, { addon: spied })
  try {
    body(() => seen.splice(0).sort().join())
  } finally {
    for (const put of undo) put()
    Object.assign(state, { addon })
  }
}
