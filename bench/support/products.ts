// What a matrix of ours does with a batch: the ways in which products are timed, whatever their elements are.
import type { NativeArray } from '../../lib/native/index.js'
import { type Contender, inProcess } from './task.js'

/** rows × columns of the weight, samples of the batch. */
export type Shape = readonly [rows: number, columns: number, samples: number]

interface Matrix<X, Y> {
  multiply(x: X, options: { out: Y; layout?: 'panels' | 'columns' }): unknown
  dispose(): void
}

/** A weight that is made ready anew for each way, the batch's vectors as rows, and room for the results'. */
export interface Product<X extends NativeArray, Y extends NativeArray> {
  readonly shape: Shape
  make(): Matrix<X, Y>
  readonly x: X
  readonly y: Y
}

/** X·Wᵀ, a sample a row as a linear layer has it: packing X and unpacking Y are part of it. */
export function inRows<X extends NativeArray, Y extends NativeArray>({ make, x, y }: Product<X, Y>): Contender {
  const matrix = make()
  return {
    ...inProcess(
      () => matrix.multiply(x, { out: y }),
      () => y,
    ),
    close: () => matrix.dispose(),
  }
}

/** The same from panels to panels, as in a chain of products. */
export function inPanels<X extends NativeArray, Y extends NativeArray>(product: Product<X, Y>): Contender {
  return placed(product, 'panels', (s, c, components) => ((s >> 4) * components + c) * 16 + (s & 15))
}

/** W·X, a column a sample, as libraries for sparse matrices have it. */
export function inColumns<X extends NativeArray, Y extends NativeArray>(product: Product<X, Y>): Contender {
  return placed(product, 'columns', (s, c) => c * product.shape[2] + s)
}

function placed<X extends NativeArray, Y extends NativeArray>(
  { shape: [rows, columns, samples], make, x, y }: Product<X, Y>,
  layout: 'panels' | 'columns',
  at: (sample: number, component: number, components: number) => number,
): Contender {
  const matrix = make()
  const [from, to] = [pages(x), pages(y)]
  for (let s = 0; s < samples; s++) for (let c = 0; c < columns; c++) from[at(s, c, columns)] = x[s * columns + c]
  return {
    ...inProcess(
      () => matrix.multiply(from, { layout, out: to }),
      () => to.map((_, i) => to[at(Math.floor(i / rows), i % rows, rows)]),
    ),
    close: () => matrix.dispose(),
  }
}

/** Making the matrix, its code if it has any, and the first product. */
export function making<X extends NativeArray, Y extends NativeArray>({ make, x, y }: Product<X, Y>): Contender {
  return inProcess(
    () => {
      const matrix = make()
      matrix.multiply(x, { out: y })
      matrix.dispose()
    },
    () => y,
  )
}

/** An array like one that begins with a page, as memory of native programs does; V8's would begin 16 bytes into a line. */
function pages<A extends NativeArray>(like: A): A {
  const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: new (of: { initial: number }) => { buffer: ArrayBuffer } } }).WebAssembly
  const Typed = like.constructor as new (buffer: ArrayBuffer, from: number, length: number) => A
  return new Typed(new Memory({ initial: Math.ceil(like.byteLength / 2 ** 16) }).buffer, 0, like.length)
}
