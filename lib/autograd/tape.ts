import { EspalierError, ensure, type Storage } from '../native/index.js'
import { accumulate, formatShape, full, type Origin, recycle, sameShape, sharesStorage, Tensor } from '../tensor/index.js'

// The tape is the graph of tensors and the nodes that made them. A node is numbered when it is made,
// so that going through nodes by falling number visits every node after all of its users.

let enabled = true
let order = 0

/** One application of an operation that some gradient will have to pass through. */
export interface Node extends Origin {
  readonly name: string
  /** The tensors it read, in order. */
  inputs: readonly Tensor[]
  /** The gradient of each input; null where it needs none. Undefined once the tape was released. `own`: it may write to `grad`. */
  backward: ((grad: Tensor, own?: boolean) => readonly (Tensor | null)[]) | undefined
  /** What it made, where the tape alone refers to that. */
  lent?: Tensor
  /** What its operation made for the backward rule alone. */
  held?: Storage
}

/** Whether operations are being recorded. */
export const gradEnabled = (): boolean => enabled

/**
 * Runs `body` without recording it: what it computes has no gradient, and costs no memory for one.
 *
 * @example
 * ```ts
 * import { noGrad, tensor } from 'espalier'
 * const w = tensor([1, 2], { requiresGrad: true })
 * noGrad(() => w.mul(w)).requiresGrad // false
 * ```
 */
export function noGrad<T>(body: () => T): T {
  const before = enabled
  enabled = false
  try {
    return body()
  } finally {
    enabled = before
  }
}

/** Enters `output` on the tape as made from `inputs`, if recording is on and some input wants a gradient. */
export function record(name: string, inputs: readonly Tensor[], output: Tensor, backward: Node['backward'], held?: Storage): void {
  const node: Node = { order: ++order, name, inputs, backward, held }
  output.origin = node
  output.requiresGrad = true
}

/**
 * Leaves a tensor that an operation just made to the tape: whoever calls this keeps no hold of it, and once
 * a gradient has passed, its storage serves the next request of its size.
 *
 * @returns the tensor, for the operations that use it
 */
export function lent(tensor: Tensor): Tensor {
  if (tensor.origin !== null) (tensor.origin as Node).lent = tensor
  return tensor
}

export interface BackwardOptions {
  /** Keep the tape for a second walk; otherwise what it held is released. */
  retainGraph?: boolean
}

/**
 * Adds to `grad` of every tensor that asked for it the gradient of `root`, times `seed` (1 where root
 * is a scalar). Intermediate results keep none.
 */
export function backward(root: Tensor, seed?: Tensor, { retainGraph = false }: BackwardOptions = {}): void {
  ensure(root.requiresGrad, 'STATE', () => 'backward: the tensor does not depend on anything that requires a gradient')
  if (seed === undefined) {
    ensure(root.size === 1, 'SHAPE_MISMATCH', () => `backward: the tensor has shape ${formatShape(root.shape)}; without a seed it must have one element`)
    seed = full(root.shape, 1, { dtype: root.dtype, device: root.device })
  }
  ensure(
    sameShape(seed.shape, root.shape) && seed.dtype === root.dtype,
    'SHAPE_MISMATCH',
    () => `backward: the seed is ${seed?.dtype} ${formatShape(seed?.shape ?? [])}, the tensor ${root.dtype} ${formatShape(root.shape)}`,
  )

  const nodes = reachable(root)
  for (const node of nodes)
    if (node.backward === undefined)
      throw new EspalierError('STATE', `backward: the tape of ${node.name} was released by an earlier backward; pass { retainGraph: true } to that one`)

  const gradients = new Map<Node, Gradient>()
  give(gradients, root, { value: seed, own: false })
  for (const node of nodes) {
    const gradient = gradients.get(node)
    gradients.delete(node)
    if (gradient !== undefined) passThrough(node, gradient, gradients)
    if (!retainGraph) {
      node.backward = undefined
      node.inputs = []
      node.lent?.release()
      if (node.held !== undefined) recycle(node.held)
    }
  }
}

/** A gradient under way; `own` while the walk alone holds its storage, which it may then write to and reuse. */
interface Gradient {
  value: Tensor
  own: boolean
}

/** Hands a node's gradient on to what it was made from. A rule returns new storage, or the gradient's own. */
function passThrough(node: Node, { value, own }: Gradient, gradients: Map<Node, Gradient>): void {
  const { inputs } = node
  const parts = (node.backward as NonNullable<Node['backward']>)(value, own)
  let handedOn = 0
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]
    if (goesOn(part, inputs[i]) && sharesStorage(part, value)) handedOn++
  }
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]
    if (!goesOn(part, inputs[i])) continue
    let alone = !sharesStorage(part, value) || (own && handedOn === 1)
    for (let j = 0; j < parts.length; j++) {
      const other = parts[j]
      if (j !== i && other !== part && goesOn(other, inputs[j]) && sharesStorage(other, part)) alone = false
    }
    give(gradients, inputs[i], { value: part, own: alone })
  }
  if (own && handedOn === 0) value.release()
}

const goesOn = (part: Tensor | null, to: Tensor): part is Tensor => part !== null && to.requiresGrad

/** Leaves collect into `grad`; the others hand on to the node that made them. */
function give(gradients: Map<Node, Gradient>, to: Tensor, part: Gradient): void {
  const node = to.origin as Node | null
  if (node === null) {
    // The former gradient may be in the user's hands, and stays as it is.
    const former = to.peekGrad()
    const { value, own } = former === null ? part : sum(part, { value: former, own: false })
    to.leaveGrad(value, own)
    return
  }
  const sofar = gradients.get(node)
  gradients.set(node, sofar === undefined ? part : sum(sofar, part))
}

/** a + b, in the storage of one of them where that is the walk's own. */
function sum(a: Gradient, b: Gradient): Gradient {
  if (!a.own && b.own) return sum(b, a)
  const value = a.own ? a.value : a.value.copy()
  accumulate(b.value, value)
  if (b.own) b.value.release()
  return { value, own: true }
}

/** The nodes behind a tensor, users before makers. */
function reachable(root: Tensor): Node[] {
  const found = new Set<Node>()
  const stack: Node[] = root.origin === null ? [] : [root.origin as Node]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (found.has(node)) continue
    found.add(node)
    for (const input of node.inputs) if (input.origin !== null) stack.push(input.origin as Node)
  }
  return [...found].sort((a, b) => b.order - a.order)
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** Leaves in `grad` of every tensor that asked for one the gradient of this one. See `backward`. */
    backward(seed?: Tensor, options?: BackwardOptions): void
  }
}
Tensor.prototype.backward = function (seed, options) {
  backward(this, seed, options)
}
