import { ensure } from '../../native/index.js'
import { ConvTranspose2d, type Module } from '../../nn/index.js'
import { formatShape, type Shape } from '../../tensor/index.js'
import { type Cut, grid } from './grid.js'
import type { Structure } from './structure.js'

/** What tells units of a convolution's weight [out, in, …kernel] apart; what is absent runs through each unit. */
export interface Told {
  readonly by: readonly ('filter' | 'input')[]
  /** Positions in the kernel: each for itself, or only its row or its column. */
  readonly at?: 'position' | 'row' | 'column'
}

/**
 * The structure whose units are told apart by filter, input channel and position in the kernel. It serves
 * linear layers, whose kernel has one position, and transposed convolutions, whose weight is [in, out, …kernel].
 */
export function along(name: string, { by, at }: Told): Structure {
  const needed = at === 'row' || at === 'column' ? 4 : 2
  const cutter =
    (first: 'filter' | 'input', second: 'filter' | 'input') =>
    (shape: Shape): Cut => {
      ensure(shape.length >= needed, 'INVALID_ARGUMENT', () => `${name}: the weight has shape ${formatShape(shape)}, expected ${needed} dimensions or more`)
      const last = shape.length - 1
      const tells = (i: number): boolean => {
        if (i < 2) return by.includes(i === 0 ? first : second)
        return at === 'position' || (at === 'row' && i === last - 1) || (at === 'column' && i === last)
      }
      return { shape, kept: shape.map((_, i) => (tells(i) ? 1 : 0)) }
    }
  const [usual, transposed] = [grid(name, cutter('filter', 'input')), grid(name, cutter('input', 'filter'))]
  return { ...usual, on: (module) => (isTransposed(name, module) ? transposed : usual) }
}

/** Whether a layer's weight has its input channels first. */
export function isTransposed(operation: string, module: Module): boolean {
  if (!(module instanceof ConvTranspose2d)) return false
  const { groups } = module.geometry
  ensure(groups === 1, 'INVALID_ARGUMENT', () => `${operation}: a transposed convolution of ${groups} groups has no such units, expected 1 group`)
  return true
}
