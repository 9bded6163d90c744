import { native, type Storage } from '../native/index.js'
import { LazyTensor } from './lazy.js'
import { allocate, recycle } from './memory.js'
import { type Shape, sizeOf } from './shape.js'
import type { Tensor } from './tensor.js'

// Samples that stand together in a panel; see docs/sparse.md.
const panel = 16

/**
 * A float32 tensor on the CPU whose vectors (along its last dimension) stand in panels of 16, as sparse products work on
 * them: what one product gives, the next one takes as it is, and so do those of the backward pass. To whoever looks at
 * its elements it is a tensor like any other; from then on it holds them row by row, since they may be written to.
 * @internal
 */
export class PanelTensor extends LazyTensor {
  /** [⌈samples/16⌉, elements, 16]; null once someone looked at the elements. */
  panels: Float32Array | null
  #rows: Float32Array | null = null

  constructor(panels: Float32Array, shape: Shape) {
    super(panels, shape, 'float32')
    this.panels = panels
  }

  override release(): void {
    if (this.panels !== null) recycle(this.panels)
    if (this.#rows !== null) recycle(this.#rows)
  }

  /** The elements row by row, to be read at once: the panels stay. */
  rows(): Float32Array {
    if (this.#rows === null) {
      this.#rows = allocate('float32', this.size)
      native.fromPanels(...dimensions(this.shape), this.panels, this.#rows)
    }
    return this.#rows
  }

  protected override spread(): Storage {
    const rows = this.rows()
    recycle(this.panels as Float32Array)
    this.panels = null
    return rows
  }
}

/** How many vectors a tensor of such a shape has, and of how many elements: [samples, elements], at least 1 of these. */
function dimensions(shape: Shape): [samples: number, elements: number] {
  const elements = shape[shape.length - 1]
  return [sizeOf(shape) / elements, elements]
}

/** The panels of a tensor that has them, else null. */
export const panelsOf = (tensor: Tensor): Float32Array | null => (tensor instanceof PanelTensor ? tensor.panels : null)

/** Room for the panels of a tensor. */
export function allocatePanels(shape: Shape): Float32Array {
  const [samples, elements] = dimensions(shape)
  return allocate('float32', Math.ceil(samples / panel) * panel * elements)
}

/** A tensor in panels, not filled. */
export const emptyInPanels = (shape: Shape): PanelTensor => new PanelTensor(allocatePanels(shape), shape)

/** The vectors of a float32 tensor on the CPU packed in panels of their own. */
export function packed({ storage, shape }: Tensor): Float32Array {
  const panels = allocatePanels(shape)
  native.toPanels(...dimensions(shape), storage, panels)
  return panels
}

/** What kernels take of a tensor that they read now, and neither write to nor keep. */
export const readOf = (tensor: Tensor): Storage => (tensor instanceof PanelTensor && tensor.panels !== null ? tensor.rows() : tensor.storage)
