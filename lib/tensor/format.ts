import type { Shape } from './shape.js'

interface Printable {
  readonly data: ArrayLike<number>
  readonly shape: Shape
  readonly dtype: string
}

// NumPy's rules: at most 1000 elements in full, else three at each end of a dimension; floats with
// up to four decimals, or in exponent form when their magnitudes lie too far apart.
const fullSize = 1000
const edge = 3

/** The values as NumPy would print them. */
export function formatTensor({ data, shape, dtype }: Printable): string {
  const cut = data.length > fullSize
  const text = numberFormat(visible(data, shape, cut), dtype.startsWith('float'))
  const print = (axis: number, offset: number, indent: string): string => {
    if (axis === shape.length) return text(data[offset])
    const stride = shape.slice(axis + 1).reduce((product, dimension) => product * dimension, 1)
    const parts = indices(shape[axis], cut).map((i) => (i < 0 ? '...' : print(axis + 1, offset + i * stride, `${indent} `)))
    const inner = axis === shape.length - 1
    return `[${parts.join(inner ? ' ' : `${'\n'.repeat(shape.length - 1 - axis)}${indent} `)}]`
  }
  return print(0, 0, '')
}

/** The indices of a dimension to print; −1 stands for the ones left out. */
const indices = (dimension: number, cut: boolean): number[] =>
  cut && dimension > 2 * edge ? [...Array(edge).keys(), -1, ...Array.from({ length: edge }, (_, i) => dimension - edge + i)] : [...Array(dimension).keys()]

function visible(data: ArrayLike<number>, shape: Shape, cut: boolean): number[] {
  const seen: number[] = []
  const walk = (axis: number, offset: number): void => {
    if (axis === shape.length) {
      seen.push(data[offset])
      return
    }
    const stride = shape.slice(axis + 1).reduce((product, dimension) => product * dimension, 1)
    for (const i of indices(shape[axis], cut)) if (i >= 0) walk(axis + 1, offset + i * stride)
  }
  walk(0, 0)
  return seen
}

function numberFormat(values: number[], float: boolean): (value: number) => string {
  const finite = values.filter(Number.isFinite)
  const magnitudes = finite.filter((value) => value !== 0).map(Math.abs)
  const largest = Math.max(0, ...magnitudes)
  const smallest = Math.min(Infinity, ...magnitudes)
  const exponent = float && (largest >= 1e8 || smallest < 1e-4 || largest / smallest > 1e3 * 1e4)
  const decimals = exponent
    ? Math.max(0, ...finite.map((value) => (value.toExponential(4).replace(/e.*/, '').split('.')[1] ?? '').replace(/0+$/, '').length))
    : Math.max(0, ...finite.map((value) => (value.toFixed(4).split('.')[1] ?? '').replace(/0+$/, '').length))
  const plain = (value: number): string => {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'
    if (!float) return String(value)
    if (exponent) return value.toExponential(decimals).replace(/e([+-])(\d)$/, 'e$10$2')
    const fixed = value.toFixed(decimals)
    return decimals === 0 ? `${fixed}.` : fixed.includes('.') ? padTrailing(fixed) : fixed
  }
  const width = Math.max(0, ...values.map((value) => plain(value).length))
  return (value) => plain(value).padStart(width)
}

/** NumPy drops trailing zeros of a decimal but keeps the column: 1.50 prints as "1.5 ". */
const padTrailing = (fixed: string): string => fixed.replace(/0+$/, (zeros) => ' '.repeat(zeros.length))
