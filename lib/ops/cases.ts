import type { Shape } from '../tensor/index.js'

/** Shapes for elementwise gradient checks: scalars, empty, single, and around every vector width. */
export const elementwiseShapes: readonly Shape[] = [
  [],
  [0],
  [1],
  [2],
  [3],
  [4],
  [5],
  [7],
  [8],
  [9],
  [15],
  [16],
  [17],
  [31],
  [33],
  [0, 3],
  [1, 1],
  [2, 3],
  [3, 5, 7],
  [2, 1, 9],
  [4, 0, 2],
  [1, 65],
]
