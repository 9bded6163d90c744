import type { Sample } from '../autograd/index.js'
import type { Shape, Tensor } from '../tensor/index.js'

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

/** Pairs of shapes that broadcast: equal, scalars, rows, columns, channels, both stretched, empty. */
const pairs: readonly (readonly [Shape, Shape])[] = [
  [[], []],
  [[1], [1]],
  [[17], [17]],
  [[33], []],
  [[], [5]],
  [[9], [1]],
  [
    [2, 3],
    [2, 3],
  ],
  [[4, 3], [3]],
  [[3, 17], [17]],
  [
    [3, 9],
    [3, 1],
  ],
  [
    [3, 1],
    [1, 5],
  ],
  [[5], [4, 1]],
  [
    [2, 3, 2, 5],
    [3, 1, 1],
  ],
  [
    [2, 3, 4],
    [2, 1, 4],
  ],
  [
    [2, 1, 3, 1],
    [4, 1, 5],
  ],
  [
    [1, 3],
    [4, 3],
  ],
  [[0], [0]],
  [
    [0, 3],
    [1, 3],
  ],
  [[2, 0], [1]],
]

/** Calls of an operation on two tensors. `apart`: no value of b lies near one of a. */
export const binaryCases =
  ({ apart = false } = {}) =>
  (sample: Sample): [Tensor, Tensor | number][] => [
    ...pairs.map(([a, b]): [Tensor, Tensor] => [sample(a), sample(b, apart ? { min: 2.1, max: 4, avoid: [] } : { min: 0.3, max: 2 })]),
    ...pairs.slice(2, 5).map(([a, b]): [Tensor, Tensor] => [sample(a), sample(b, apart ? { min: -4, max: -2.1, avoid: [] } : { min: -2, max: -0.3 })]),
    [sample([7]), 1.5],
    [sample([2, 3]), -0.5],
  ]

/** Shapes of (x, weight) of linear layers: empty, single, and beside every vector width. */
export const linearShapes: readonly (readonly [Shape, Shape])[] = [
  [
    [1, 1],
    [1, 1],
  ],
  [
    [2, 3],
    [4, 3],
  ],
  [[3], [2, 3]],
  [[1], [1, 1]],
  [
    [0, 3],
    [4, 3],
  ],
  [
    [2, 0],
    [4, 0],
  ],
  [
    [2, 3],
    [0, 3],
  ],
  [
    [2, 3, 5],
    [4, 5],
  ],
  [
    [2, 1, 3, 2],
    [3, 2],
  ],
  [
    [1, 17],
    [9, 17],
  ],
  [
    [5, 7],
    [33, 7],
  ],
  [
    [15, 4],
    [3, 4],
  ],
  [
    [16, 2],
    [8, 2],
  ],
  [
    [17, 9],
    [5, 9],
  ],
  [
    [3, 31],
    [1, 31],
  ],
]
